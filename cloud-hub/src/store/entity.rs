//! The tables as SeaORM sees them. What each is for stands at the migration that makes it.
#![expect(unreachable_pub, reason = "SeaORM's derives make everything of a table public")]

macro_rules! table {
    ($(#[$doc:meta])* $module:ident, $name:literal, { $($(#[$attr:meta])* $field:ident: $type:ty,)+ }) => {
        $(#[$doc])*
        pub(crate) mod $module {
            use sea_orm::entity::prelude::*;

            #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
            #[sea_orm(table_name = $name)]
            pub struct Model {
                $($(#[$attr])* pub $field: $type,)+
            }

            #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
            pub enum Relation {}

            impl ActiveModelBehavior for ActiveModel {}
        }
    };
}

table!(meta, "meta", {
    #[sea_orm(primary_key, auto_increment = false)]
    name: String,
    value: i64,
});

table!(banks, "banks", {
    #[sea_orm(primary_key, auto_increment = false)]
    id: String,
    display_name: String,
    address: String,
    layout_generation: i64,
    gseq: i64,
    quarantined: i64,
    stopped_reason: Option<String>,
    created_at: i64,
    inventory: bool,
    certificate: Option<Vec<u8>>,
    streams_closed: i64,
    codes_generation: i64,
    codes_refused: Option<String>,
    grants_epoch: i64,
    courier_codes_generation: i64,
    restored_epoch: Option<i64>,
    restored_gseq: Option<i64>,
    folded_by: i64,
    time_zone: String,
});

table!(configs, "configs", {
    #[sea_orm(primary_key, auto_increment = false)]
    bank: String,
    #[sea_orm(primary_key, auto_increment = false)]
    kind: String,
    #[sea_orm(primary_key, auto_increment = false)]
    generation: i64,
    bytes: Vec<u8>,
    issued_at: i64,
});

table!(key_sets, "key_sets", {
    #[sea_orm(primary_key, auto_increment = false)]
    generation: i64,
    bytes: Vec<u8>,
    issued_at: i64,
});

table!(cursors, "cursors", {
    #[sea_orm(primary_key, auto_increment = false)]
    bank: String,
    stream: Vec<u8>,
    committed: i64,
    hash: Vec<u8>,
    incomplete: bool,
    seen_at: i64,
});

table!(bank_entities, "bank_entities", {
    #[sea_orm(primary_key, auto_increment = false)]
    bank: String,
    #[sea_orm(primary_key, auto_increment = false)]
    kind: i32,
    #[sea_orm(primary_key, auto_increment = false)]
    key: Vec<u8>,
    bytes: Vec<u8>,
});

table!(parcels, "parcels", {
    #[sea_orm(primary_key, auto_increment = false)]
    uid: Vec<u8>,
    carrier: String,
    name: String,
    barcode: String,
    length_mm: i64,
    width_mm: i64,
    height_mm: i64,
    weight_g: i64,
    email: String,
    display_name: String,
    state: String,
    bank: Option<String>,
    compartment: Option<i32>,
    version: i64,
    credential: Option<Vec<u8>>,
    trace: Option<String>,
    created_at: i64,
    updated_at: i64,
    expires_at: Option<i64>,
    phone: Option<String>,
    recall: Option<String>,
    hard: bool,
    book_until: Option<i64>,
    keep_ms: Option<i64>,
    keep_until: Option<i64>,
    group_id: Option<Vec<u8>>,
    reminded_at: Option<i64>,
});

table!(pickup_credentials, "pickup_credentials", {
    #[sea_orm(primary_key, auto_increment = false)]
    id: Vec<u8>,
    parcel: Vec<u8>,
    until: Option<i64>,
    revoked: bool,
    made_at: i64,
});

table!(grants, "grants", {
    #[sea_orm(primary_key, auto_increment = false)]
    bank: String,
    #[sea_orm(primary_key, auto_increment = false)]
    epoch: i64,
    #[sea_orm(primary_key, auto_increment = false)]
    gseq: i64,
    bytes: Vec<u8>,
    issued_at: i64,
});

table!(events, "events", {
    #[sea_orm(primary_key, auto_increment = false)]
    position: i64,
    event_id: String,
    kind: String,
    bank: Option<String>,
    compartment: Option<i32>,
    detail: String,
    occurred_at: i64,
    recorded_at: i64,
    parcel: Option<Vec<u8>>,
    carrier: Option<String>,
    parcel_state: Option<String>,
    parcel_bank: Option<String>,
    parcel_compartment: Option<i32>,
    parcel_version: Option<i64>,
    parcel_expires_at: Option<i64>,
});

table!(notices, "notices", {
    #[sea_orm(primary_key)]
    id: i64,
    parcel: Vec<u8>,
    kind: String,
    version: i64,
    due_at: Option<i64>,
    attempts: i32,
    outcome: Option<String>,
    moment_at: Option<i64>,
});

table!(requests, "requests", {
    #[sea_orm(primary_key, auto_increment = false)]
    principal: String,
    #[sea_orm(primary_key, auto_increment = false)]
    request_id: String,
    fingerprint: Vec<u8>,
    answer: Vec<u8>,
    at: i64,
});

table!(introductions, "introductions", {
    #[sea_orm(primary_key, auto_increment = false)]
    bank: String,
    address: String,
    certificate: Vec<u8>,
    boot: Vec<u8>,
    stream: Vec<u8>,
    boot_count: i64,
    connection_count: i64,
    head_seq: i64,
    at: i64,
    code_keys: Option<Vec<u8>>,
});

table!(closed_streams, "closed_streams", {
    #[sea_orm(primary_key, auto_increment = false)]
    bank: String,
    #[sea_orm(primary_key, auto_increment = false)]
    stream: Vec<u8>,
    committed: i64,
    hash: Vec<u8>,
    successor: Vec<u8>,
    closed_at: i64,
});

table!(alarms, "alarms", {
    #[sea_orm(primary_key)]
    id: i64,
    bank: String,
    kind: String,
    detail: String,
    raised_at: i64,
    dropped: i64,
    cleared_at: Option<i64>,
    cleared_by: Option<String>,
    note: Option<String>,
});

table!(alarm_parties, "alarm_parties", {
    #[sea_orm(primary_key, auto_increment = false)]
    alarm: i64,
    #[sea_orm(primary_key, auto_increment = false)]
    certificate: Vec<u8>,
    #[sea_orm(primary_key, auto_increment = false)]
    boot: Vec<u8>,
    address: String,
    stream: Vec<u8>,
    boot_count: i64,
    connection_count: i64,
    head_seq: i64,
    first_seen: i64,
    last_seen: i64,
});

table!(kept_apart, "kept_apart", {
    #[sea_orm(primary_key)]
    id: i64,
    alarm: i64,
    bank: String,
    address: String,
    certificate: Vec<u8>,
    boot: Vec<u8>,
    stream: Vec<u8>,
    topic: String,
    bytes: Vec<u8>,
    at: i64,
});

table!(revoked_certificates, "revoked_certificates", {
    #[sea_orm(primary_key, auto_increment = false)]
    bank: String,
    #[sea_orm(primary_key, auto_increment = false)]
    certificate: Vec<u8>,
    revoked_at: i64,
    revoked_by: String,
});

table!(code_slots, "code_slots", {
    #[sea_orm(primary_key, auto_increment = false)]
    bank: String,
    #[sea_orm(primary_key, auto_increment = false)]
    slot: Vec<u8>,
    sealed: Vec<u8>,
    state: String,
    parcel: Option<Vec<u8>>,
    granted_at: i64,
    retired_at: Option<i64>,
});

table!(deposits_a_day, "deposits_a_day", {
    #[sea_orm(primary_key, auto_increment = false)]
    bank: String,
    #[sea_orm(primary_key, auto_increment = false)]
    day: i64,
    deposits: i64,
});

table!(keypad_couriers, "keypad_couriers", {
    #[sea_orm(primary_key, auto_increment = false)]
    bank: String,
    #[sea_orm(primary_key, auto_increment = false)]
    carrier: String,
    placed_until: i64,
    read_noted_at: i64,
});

table!(safe_marks, "safe_marks", {
    #[sea_orm(primary_key, auto_increment = false)]
    bank: String,
    stream: Vec<u8>,
    safe: i64,
});

table!(device_keys, "device_keys", {
    #[sea_orm(primary_key, auto_increment = false)]
    bank: String,
    #[sea_orm(primary_key, auto_increment = false)]
    spki_hash: Vec<u8>,
    spki: Vec<u8>,
    learned_at: i64,
});

table!(facts, "facts", {
    #[sea_orm(primary_key, auto_increment = false)]
    bank: String,
    #[sea_orm(primary_key, auto_increment = false)]
    stream: Vec<u8>,
    #[sea_orm(primary_key, auto_increment = false)]
    seq: i64,
    at_ms: i64,
    kind: i32,
    bytes: Vec<u8>,
    recorded_at: i64,
});
