//! What the hub knew before the banks were away: the banks themselves, and the parcels that are on their
//! way to them. Booked one by one they would take longer than what is measured, and no bank has room for
//! three days of parcels at once: they are written into the table, as copies of one that was announced.

use std::path::Path;

use anyhow::ensure;
use cloud_hub::banks::{NewBank, create_bank};
use cloud_hub::parcels::{NewParcel, create_parcel};
use cloud_hub::store::{DisplayName, HubParcelState, RequestKey, Store};
use futures::future::try_join_all;
use locker_core::ids::ParcelId;
use locker_core::units::{Dimensions, Grams, UnixMillis};
use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sea_orm::sqlx::{self, AssertSqlSafe, ConnectOptions, Connection, Row};
use system_tests::wait::now_ms;

use super::journal;

/// The parcel that is copied.
const PATTERN: &str = "pattern";

pub(super) async fn make_banks_known(store: &Store, banks: usize) -> anyhow::Result<()> {
    let created = (0..banks).map(|number| async move {
        let new = NewBank {
            id: journal::bank(number)?,
            display_name: "bench".to_owned(),
            address: String::new(),
            time_zone: cloud_hub::site_zone::SiteZone::UTC,
            compartments: journal::specs(),
        };
        let now = UnixMillis(now_ms());
        create_bank(store, new, request(&format!("bank-{number}")), now).await?;
        anyhow::Ok(())
    });
    try_join_all(created).await?;
    Ok(())
}

/// Parcels `0..parcels` of banks `0..banks`, with the ids that their journals give them.
pub(super) async fn make_parcels_known(
    store: &Store,
    database: &Path,
    banks: usize,
    parcels: u64,
) -> anyhow::Result<()> {
    let pattern = NewParcel {
        uid: ParcelId([255; 16]),
        carrier: "acme".parse()?,
        name: PATTERN.to_owned(),
        barcode: PATTERN.parse()?,
        size: Dimensions { length_mm: 100, width_mm: 100, height_mm: 100 },
        weight: Grams(500),
        email: "someone@example.org".parse()?,
        display_name: DisplayName::default(),
        phone: None,
        trace: None,
    };
    create_parcel(store, pattern, request(PATTERN), UnixMillis(now_ms())).await?;
    let wanted = u64::try_from(banks)? * parcels;
    let mut connection = SqliteConnectOptions::new().filename(database).connect().await?;
    let insert = copying(&mut connection).await?;
    let insert = sqlx::query(AssertSqlSafe(insert)).bind(i64::try_from(parcels.max(1))?);
    let made = insert.bind(i64::try_from(wanted)?).execute(&mut connection).await?;
    connection.close().await?;
    ensure!(made.rows_affected() == wanted, "{} of {wanted} parcels", made.rows_affected());
    Ok(())
}

/// The statement: `?1` parcels of each bank, `?2` in all.
async fn copying(connection: &mut SqliteConnection) -> anyhow::Result<String> {
    let columns = sqlx::query("SELECT name FROM pragma_table_info('parcels')");
    let columns = columns.fetch_all(connection).await?;
    let columns: Vec<String> = columns.iter().map(|row| row.get(0)).collect();
    let id = "CAST(printf('%08x%08x', i / ?1, i % ?1) AS BLOB)".to_owned();
    let own = |column: &String| match column.as_str() {
        "uid" | "credential" => id.clone(),
        "name" => "printf('p-%d-%d', i / ?1, i % ?1)".to_owned(),
        "barcode" => "printf('P-%d-%d', i / ?1, i % ?1)".to_owned(),
        "bank" => "printf('bench-%d', i / ?1)".to_owned(),
        "state" => format!("'{}'", HubParcelState::Booked.as_str()),
        "version" => "1".to_owned(),
        other => format!("pattern.{other}"),
    };
    let values: Vec<String> = columns.iter().map(own).collect();
    Ok(format!(
        "WITH RECURSIVE numbers (i) AS (SELECT 0 WHERE 0 < ?2 UNION ALL SELECT i + 1 FROM numbers \
         WHERE i + 1 < ?2) INSERT INTO parcels ({}) SELECT {} FROM numbers, parcels AS pattern \
         WHERE pattern.name = '{PATTERN}'",
        columns.join(", "),
        values.join(", ")
    ))
}

fn request(what: &str) -> RequestKey {
    RequestKey { principal: "bench".to_owned(), request_id: what.to_owned() }
}
