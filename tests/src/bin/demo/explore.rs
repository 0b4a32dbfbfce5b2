//! Where to look while the demo stays up: addresses, folders, and command lines ready to paste.

use std::fmt::Write as _;

use anyhow::Result;
use serde_json::{Value, json};
use system_tests::bank::Bank;
use system_tests::pki::OPERATOR;
use system_tests::processes::program;
use system_tests::world::{CARRIER, World};

use crate::script::Story;
use crate::stories::LeftInside;

/// The page. Writes the file that `hubctl` connects with.
pub(crate) fn page(
    world: &World,
    banks: &[Bank],
    stories: &[Story],
    left: &LeftInside,
) -> Result<String> {
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
        let (dir, address) = (format!("{at}/banks/{id}"), access.address);
        let boards = &bank.spec.boards;
        let wired: Vec<String> = boards.addresses.iter().map(u8::to_string).collect();
        writeln!(page, "\n  {id}")?;
        writeln!(page, "    screen     http://{address}/v1/state   (token: {dir}/panel.json)")?;
        writeln!(page, "    boards     {} at {}", boards.profile, wired.join(" and "))?;
        writeln!(page, "    locks      {}   (send it `help`)", bank.board.control_address())?;
        writeln!(page, "    logs       {dir}/agent.log, {dir}/board.jsonl")?;
    }
    writeln!(page, "\nReady to paste in another terminal:\n\n  {hubctl} bank list")?;
    for bank in banks {
        writeln!(page, "  {hubctl} bank get {}", bank.spec.id)?;
    }
    for life in stories.iter().flat_map(|story| &story.parcels) {
        writeln!(page, "  {hubctl} parcel find {CARRIER} {}", life.parcel)?;
    }
    writeln!(page, "  {hubctl} bank staff-badge {}", left.bank)?;
    writeln!(page, "  {hubctl} watch --from-beginning")?;
    for bank in banks {
        let (token, address) = (token_of(bank), bank.panel.access()?.address);
        writeln!(page, "  curl -sH \"Authorization: Bearer {token}\" http://{address}/v1/state")?;
    }
    if let Some(bank) = banks.iter().find(|bank| bank.spec.id == left.bank) {
        page.push_str(&be_the_recipient(bank, left)?);
    }
    Ok(page)
}

/// How to fetch the parcel that is left.
fn be_the_recipient(bank: &Bank, left: &LeftInside) -> Result<String> {
    let LeftInside { bank: id, letter, phone } = left;
    let (token, address) = (token_of(bank), bank.panel.access()?.address);
    let mut page = format!(
        "\nA parcel is still at {id}; its letter is {}\nBe its recipient: open the door, which is \
         pushed shut after a moment, then say that you have it.\n\n  \
         HEADERS=(-H \"Authorization: Bearer {token}\" -H \"Content-Type: application/json\")\n  \
         SCREEN=http://{address}/v1/session\n",
        letter.file.display()
    );
    let mut post = |route: &str, body: &Value, what: &str| {
        writeln!(page, "  curl -s \"${{HEADERS[@]}}\" -d '{body}' $SCREEN/{route}   # {what}")
    };
    if let Some(digits) = &letter.digits {
        post("keypad", &json!({ "digits": digits, "phone": phone }), "type the digits")?;
    }
    post("scan", &json!({ "text": letter.token }), "or scan the QR code")?;
    post("done", &json!({ "outcome": "taken" }), "say that you have it")?;
    Ok(page)
}

/// Shell that gives the token of a screen's calls.
fn token_of(bank: &Bank) -> String {
    let file = bank.panel.access_file().display();
    format!("$(sed 's/.*\"token\":\"\\([0-9a-f]*\\).*/\\1/' {file})")
}
