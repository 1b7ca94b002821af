//! Addresses for an engine of a test's own, and a bridge that its containers are on: none that the machine has already, and a
//! name that no other engine takes.

use std::{fs, net::Ipv4Addr, path::Path, process::Command};

use crate::Missing;

/// The second bytes of the networks `10.x.0.0/16` to choose from.
const CHOICES: std::ops::RangeInclusive<u8> = 200..=249;

/// A network of an engine's own, and its bridge. Whoever has it removes the bridge; a room does.
#[derive(Debug)]
pub(crate) struct Network {
    second: u8,
}

impl Network {
    /// Takes a network that nobody has, and makes its bridge: whoever has made the bridge of that name has the network.
    pub(crate) fn make() -> Result<Self, Missing> {
        let routes = fs::read_to_string("/proc/net/route")
            .map_err(|error| Missing::new(format!("the machine's routes cannot be read: {error}")))?;
        let taken = taken(&routes);
        let mut why = "all addresses that it could have are taken".to_owned();
        for second in CHOICES.filter(|second| !overlaps(&taken, *second)) {
            let network = Self { second };
            if Path::new("/sys/class/net").join(network.bridge()).exists() {
                continue;
            }
            match ip(&["link", "add", "name", &network.bridge(), "type", "bridge"]) {
                Ok(()) => return network.address().map(|()| network),
                // Another was faster, or bridges cannot be made here: the next choice will show.
                Err(error) if error.contains("File exists") => why = error,
                Err(error) => return Err(Missing::new(format!("no bridge can be made: {error}"))),
            }
        }
        Err(Missing::new(format!("no bridge can be made: {why}")))
    }

    fn address(&self) -> Result<(), Missing> {
        let steps = [
            vec!["address".to_owned(), "add".to_owned(), self.gateway(), "dev".to_owned(), self.bridge()],
            vec!["link".to_owned(), "set".to_owned(), "dev".to_owned(), self.bridge(), "up".to_owned()],
        ];
        for step in steps {
            let step: Vec<_> = step.iter().map(String::as_str).collect();
            if let Err(error) = ip(&step) {
                self.remove();
                return Err(Missing::new(format!("no bridge can be made: {error}")));
            }
        }
        Ok(())
    }

    /// Removes the bridge, where no room does.
    pub(crate) fn remove(&self) {
        // It is gone already, or nothing can be done about it.
        let _ = ip(&["link", "delete", "dev", &self.bridge()]);
    }

    /// The bridge's name.
    pub(crate) fn bridge(&self) -> String {
        format!("longshore{}", self.second)
    }

    /// All addresses: those of the bridge, and those for networks that are made later.
    pub(crate) fn all(&self) -> String {
        format!("10.{}.0.0/16", self.second)
    }

    /// The bridge's own address, with its network: the lower half of all.
    pub(crate) fn gateway(&self) -> String {
        format!("10.{}.0.1/17", self.second)
    }

    /// The network of the bridge, and its address in it.
    pub(crate) fn subnet(&self) -> (String, String) {
        (format!("10.{}.0.0/17", self.second), format!("10.{}.0.1", self.second))
    }

    /// The addresses for networks that are made later: the upper half of all.
    pub(crate) fn pool(&self) -> String {
        format!("10.{}.128.0/17", self.second)
    }
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(arguments).output().map_err(|error| format!("ip: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.success() { Ok(()) } else { Err(format!("ip {}: {said}", arguments.join(" "))) }
}

/// The networks of a table of routes, each as address and mask; those that lead everywhere are left out.
fn taken(routes: &str) -> Vec<(u32, u32)> {
    let network = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        // The kernel writes the bytes of an address as a number of this machine.
        let number =
            |field: &str| u32::from_str_radix(field, 16).ok().map(|it| u32::from_be_bytes(it.to_ne_bytes()));
        let (address, mask) = (number(fields.get(1)?)?, number(fields.get(7)?)?);
        (mask != 0).then_some((address, mask))
    };
    routes.lines().filter_map(network).collect()
}

fn overlaps(taken: &[(u32, u32)], second: u8) -> bool {
    let (own, own_mask) =
        (u32::from(Ipv4Addr::new(10, second, 0, 0)), u32::from(Ipv4Addr::new(255, 255, 0, 0)));
    taken.iter().any(|(address, mask)| {
        let both = mask & own_mask;
        address & both == own & both
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_the_machine_has_are_not_taken() {
        let field = |address: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(address));
        let line =
            |address, mask| format!("eth0\t{}\t0\t1\t0\t0\t0\t{}\t0\t0\t0", field(address), field(mask));
        let table = |lines: &[String]| taken(&format!("Iface\tDestination\tGateway\n{}\n", lines.join("\n")));
        let everywhere = line([0; 4], [0; 4]);
        assert!(!overlaps(&table(&[everywhere.clone(), line([192, 0, 2, 0], [255, 255, 255, 0])]), 200));
        for (address, mask) in [
            ([10, 0, 0, 0], [255, 0, 0, 0]),
            ([10, 200, 0, 0], [255, 255, 0, 0]),
            ([10, 200, 7, 9], [255; 4]),
        ] {
            assert!(
                overlaps(&table(&[everywhere.clone(), line(address, mask)]), 200),
                "{address:?} {mask:?}"
            );
        }
        assert!(!overlaps(&table(&[line([10, 201, 0, 0], [255, 255, 0, 0])]), 200));
    }
}
