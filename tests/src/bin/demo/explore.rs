//! Where to look while the demo stays up: addresses, folders, and command lines ready to paste.

use std::fmt::Write as _;

use anyhow::Result;
use system_tests::bank::Bank;
use system_tests::pki::OPERATOR;
use system_tests::processes::program;
use system_tests::world::{CARRIER, World};

use crate::journey::Journey;

/// The page. Writes the file that `hubctl` connects with.
pub(crate) fn page(world: &World, banks: &[Bank], journeys: &[Journey]) -> Result<String> {
    let folder = world.folder();
    let context = folder.join("hubctl.toml");
    let (grpc, mqtt) = (world.hub.addresses().grpc, world.hub.addresses().mqtt);
    let (pki, at) = (world.pki.folder().display(), folder.display());
    std::fs::write(
        &context,
        format!(
            "hub = \"https://{grpc}\"\nca = \"{pki}/ca.pem\"\n\
             cert = \"{pki}/operators/{OPERATOR}.pem\"\nkey = \"{pki}/operators/{OPERATOR}.key\"\n"
        ),
    )?;
    let hubctl = format!("{} --context {}", program("hubctl")?.display(), context.display());
    let mut page = format!(
        "\nEverything stays up until Ctrl-C. To look around:\n\n  \
         gRPC         https://{grpc}   (client certificates in {pki})\n  \
         MQTT         mqtts://{mqtt}   (banks only)\n  \
         letters      {}\n  \
         hub's log    {}\n",
        world.hub.mailbox_folder().display(),
        world.hub.log_file().display(),
    );
    for bank in banks {
        let (id, access) = (&bank.spec.id, bank.panel.access()?);
        let dir = format!("{at}/banks/{id}");
        writeln!(page, "\n  {id}")?;
        writeln!(
            page,
            "    screen     http://{}/v1/state   (token: {dir}/panel.json)",
            access.address
        )?;
        writeln!(page, "    locks      {}   (send it `help`)", bank.board.control_address())?;
        writeln!(page, "    logs       {dir}/agent.log, {dir}/board.jsonl")?;
    }
    writeln!(page, "\nReady to paste in another terminal:\n\n  {hubctl} bank list")?;
    for bank in banks {
        writeln!(page, "  {hubctl} bank get {}", bank.spec.id)?;
    }
    for journey in journeys {
        writeln!(page, "  {hubctl} parcel find {CARRIER} {}", journey.order.name)?;
    }
    writeln!(page, "  {hubctl} watch --from-beginning")?;
    for bank in banks {
        let (access, file) = (bank.panel.access()?, bank.panel.access_file().display());
        let token = format!("$(sed 's/.*\"token\":\"\\([0-9a-f]*\\).*/\\1/' {file})");
        let url = format!("http://{}/v1/state", access.address);
        writeln!(page, "  curl -s -H \"Authorization: Bearer {token}\" {url}")?;
    }
    Ok(page)
}
