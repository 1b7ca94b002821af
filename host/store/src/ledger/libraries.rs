//! What is known of libraries, in a transaction: documents by the hash of their bytes, which mean nothing here.

use rusqlite::Connection;

use super::{LIBRARIES_LIMIT, Ledger, Outcome, Undo, damaged, put, read};
use crate::{
    JournalErrorKind,
    codec::{self, LibraryRow},
    ledger::Fault,
    table::{self, Table},
};

impl Ledger {
    pub(crate) fn libraries(&self, connection: &Connection) -> Outcome<Vec<(String, serde_json::Value)>> {
        let mut all = Vec::with_capacity(self.libraries.len());
        for (hash, id) in &self.libraries {
            let rows = read(connection, Table::Libraries, "WHERE id = ?1", &[*id])?;
            let [row] = rows.as_slice() else {
                return Err(damaged(format!("what is known of the library {hash} is missing")));
            };
            let row: LibraryRow = codec::decode(&row.payload).map_err(|why| {
                damaged(format!("what is known of the library {hash} makes no sense: {why}"))
            })?;
            all.push((row.hash, row.document));
        }
        Ok(all)
    }

    pub(crate) fn define_library(
        &mut self,
        connection: &Connection,
        hash: &str,
        payload: Option<&[u8]>,
    ) -> Outcome<()> {
        let known = self.libraries.get(hash).copied();
        let id = match (known, payload) {
            (None, None) => return Ok(()),
            (Some(id), None) => {
                table::delete(connection, Table::Libraries, "id = ?1", &[id], &mut self.meta.total)?;
                self.meta.libraries -= 1;
                None
            }
            (None, Some(_)) if self.libraries.len() >= LIBRARIES_LIMIT => {
                let why = format!(
                    "something is known of {LIBRARIES_LIMIT} libraries already, which is the most that is kept; release or \
                     remove some that are not needed any more, and try again"
                );
                return Err(Fault::Refused(JournalErrorKind::TooLarge, why));
            }
            (known, Some(payload)) => {
                let id = known.unwrap_or_else(|| self.next_id());
                table::replace(connection, Table::Libraries, (id, 0), payload, &mut self.meta.total)?;
                self.meta.libraries += u64::from(known.is_none());
                Some(id)
            }
        };
        put(&mut self.libraries, hash.to_owned(), id);
        self.undo.push(Undo::Library(hash.to_owned(), known));
        Ok(())
    }
}
