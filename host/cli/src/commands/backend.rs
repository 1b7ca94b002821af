//! Commands about what a cluster has in its provider's backend beside workers: its server, and what was left behind.

use longshore_http::Client;

use crate::{
    args::{Cleanup, Server},
    exit::Failure,
    output::Output,
    render::{server_address, server_phase},
};

pub(super) async fn server(client: &Client, asked: &Server, output: &Output) -> Result<(), Failure> {
    let details = client.server(&asked.cluster, asked.show_password).await?;
    output.either(&details, || {
        let server = &details.server;
        let mut lines = vec![
            format!("server:   {}", server_phase(server.phase)),
            format!("address:  {}", server_address(server)),
        ];
        if asked.show_password {
            // Whoever pastes it elsewhere needs it to the letter.
            let password = details.password.as_deref().unwrap_or("none");
            lines.push(format!("password: {password}"));
        }
        lines.join("\n")
    })
}

pub(super) async fn clean_up(client: &Client, asked: &Cleanup, output: &Output) -> Result<(), Failure> {
    let done = client.clean_up(&asked.cluster, asked.deep).await?;
    output.either(&done, || {
        let more = if done.deep { ", and what was kept for clusters to come" } else { "" };
        format!("{}: what stopped workers and servers had left is removed{more}", done.cluster)
    })
}
