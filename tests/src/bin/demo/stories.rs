//! The stories, in acts. An act is told at one bank, or tells the same at each.

use anyhow::{Context, Result, ensure};
use system_tests::callers::Order;
use system_tests::mailbox::Letter;

use crate::stage::{Code, OtherBank, Stage};
use crate::timeline::Timeline;
use crate::{OF_CU16, OVER_PTY, OVER_TCP};

/// Every story, and where it is told. One that is missing, or told twice, is a finding.
pub(crate) const STORIES: [(&str, &str); 9] = [
    ("pickup_by_qr", OVER_TCP),
    ("pickup_by_qr", OVER_PTY),
    ("pickup_by_qr", OF_CU16),
    ("pickup_by_digits", OVER_TCP),
    ("wrong_code", OVER_TCP),
    ("does_not_fit", OF_CU16),
    ("cancelled", OF_CU16),
    ("quarantine_and_release", OVER_PTY),
    ("used_again", OVER_PTY),
];

/// The banks with their people.
pub(crate) struct Stages<'a> {
    pub(crate) tcp: Stage<'a>,
    pub(crate) pty: Stage<'a>,
    pub(crate) cu16: Stage<'a>,
}

/// A parcel that stays inside, for whoever explores.
pub(crate) struct LeftInside {
    pub(crate) bank: String,
    pub(crate) letter: Letter,
    pub(crate) phone: Option<String>,
}

/// Everything.
pub(crate) async fn tell(stages: &mut Stages<'_>, timeline: &Timeline) -> Result<LeftInside> {
    let Stages { tcp, pty, cu16 } = stages;
    timeline.heading("Three parcels, in and out by QR code, at all banks at the same time:");
    let radio = order("radio", "robin", [300, 200, 80], None);
    let teapot = order("teapot", "kim", [350, 180, 300], None);
    let kettle = order("kettle", "mika", [250, 200, 95], None);
    tokio::try_join!(
        pickup_by_qr(tcp, &radio),
        pickup_by_qr(pty, &teapot),
        pickup_by_qr(cu16, &kettle)
    )?;
    timeline.heading("Six digits, after codes that open nothing:");
    wrong_codes_and_digits(tcp, &OtherBank::of(cu16.bank)).await?;
    timeline.heading("A parcel is larger than its carrier said; another one is cancelled:");
    misfit_and_cancelled(cu16).await?;
    timeline.heading("The power fails while a door is open, so that nobody knows what is inside:");
    let doubtful = quarantine(pty).await?;
    timeline.heading("The same compartment is used again; this parcel stays inside:");
    used_again(pty, doubtful).await
}

async fn pickup_by_qr(stage: &mut Stage<'_>, order: &Order) -> Result<()> {
    let mut story = stage.story("pickup_by_qr");
    stage.announce(&mut story, order).await?;
    stage.courier_comes().await?;
    let letter = stage.deposit(&mut story, order).await?;
    stage.courier_leaves().await?;
    stage.pickup(&mut story, order, &letter, Code::Qr).await?;
    stage.stories.push(story);
    Ok(())
}

async fn wrong_codes_and_digits(stage: &mut Stage<'_>, other: &OtherBank) -> Result<()> {
    let (mut by_digits, mut wrong) = (stage.story("pickup_by_digits"), stage.story("wrong_code"));
    let camera = order("camera", "sascha", [200, 150, 90], Some("+358401234567"));
    stage.announce(&mut by_digits, &camera).await?;
    stage.courier_comes().await?;
    let letter = stage.deposit(&mut by_digits, &camera).await?;
    stage.courier_leaves().await?;
    stage.show_at_wrong_bank(&mut wrong, &letter, other).await?;
    let digits = letter.digits.as_deref().context("the letter has no six digits")?;
    let phone = camera.phone_digits();
    stage.mistype(&mut wrong, digits, phone).await?;
    let code = Code::Digits { digits, phone };
    stage.pickup(&mut by_digits, &camera, &letter, code).await?;
    stage.stories.extend([by_digits, wrong]);
    Ok(())
}

async fn misfit_and_cancelled(stage: &mut Stage<'_>) -> Result<()> {
    let (mut misfit, mut cancelled) = (stage.story("does_not_fit"), stage.story("cancelled"));
    let vase = order("vase", "toni", [200, 200, 90], None);
    stage.announce(&mut cancelled, &vase).await?;
    stage.cancel(&mut cancelled, &vase).await?;
    // The bank hears of things in order: once it knows this one, it knows of the cancellation.
    let guitar = order("guitar", "alex", [390, 330, 190], None);
    stage.announce(&mut misfit, &guitar).await?;
    stage.courier_comes().await?;
    let letter = stage.deposit_after_misfit(&mut misfit, &guitar).await?;
    stage.bring_cancelled(&mut cancelled, &vase).await?;
    stage.courier_leaves().await?;
    stage.pickup(&mut misfit, &guitar, &letter, Code::Qr).await?;
    stage.stories.extend([misfit, cancelled]);
    Ok(())
}

/// Gives the compartment.
async fn quarantine(stage: &mut Stage<'_>) -> Result<u16> {
    let mut story = stage.story("quarantine_and_release");
    let books = order("books", "luca", [300, 250, 90], None);
    stage.announce(&mut story, &books).await?;
    stage.courier_comes().await?;
    let doubtful = stage.cut_power_in_deposit(&mut story, &books).await?;
    let letter = stage.find_inside(&mut story, &books, doubtful).await?;
    stage.pickup(&mut story, &books, &letter, Code::Qr).await?;
    stage.stories.push(story);
    Ok(doubtful)
}

async fn used_again(stage: &mut Stage<'_>, doubtful: u16) -> Result<LeftInside> {
    let mut story = stage.story("used_again");
    let lamp = order("lamp", "noor", [280, 200, 95], Some("+358407654321"));
    stage.announce(&mut story, &lamp).await?;
    stage.courier_comes().await?;
    let letter = stage.deposit(&mut story, &lamp).await?;
    stage.courier_leaves().await?;
    ensure!(story.openings == [doubtful], "compartment {doubtful} was not used again");
    stage.stories.push(story);
    let phone = lamp.phone_digits().map(str::to_owned);
    Ok(LeftInside { bank: stage.bank.spec.id.clone(), letter, phone })
}

fn order(name: &str, to: &str, size_mm: [u32; 3], phone: Option<&str>) -> Order {
    let email = format!("{to}@example.org");
    Order { size_mm, email, phone: phone.map(str::to_owned), ..Order::small(name) }
}
