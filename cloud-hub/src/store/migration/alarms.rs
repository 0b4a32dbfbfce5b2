//! What the hub needs to tell two agents of one bank apart, and to say so until a person has looked.

use sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait};

use super::run;

/// Introductions, closed streams, alarms, what is kept apart, and revoked certificates.
pub(super) struct M0002;

impl MigrationName for M0002 {
    fn name(&self) -> &'static str {
        "m0002_alarms"
    }
}

#[expect(elided_lifetimes_in_paths, reason = "the trait is declared so, and its macro compares")]
#[async_trait::async_trait]
impl MigrationTrait for M0002 {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, SQL).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

const SQL: &[&str] = &[
    // Whether nobody knows what is inside the bank; the only certificate that counts for it, as
    // SHA-256, if one was named; how many of its streams are closed.
    "ALTER TABLE banks ADD COLUMN inventory BOOLEAN NOT NULL DEFAULT FALSE",
    "ALTER TABLE banks ADD COLUMN certificate {bytes}",
    "ALTER TABLE banks ADD COLUMN streams_closed BIGINT NOT NULL DEFAULT 0",
    // How each bank introduced itself when it was last accepted.
    "CREATE TABLE introductions (
        bank TEXT NOT NULL PRIMARY KEY,
        address TEXT NOT NULL,
        certificate {bytes} NOT NULL,
        boot {bytes} NOT NULL,
        stream {bytes} NOT NULL,
        boot_count BIGINT NOT NULL,
        connection_count BIGINT NOT NULL,
        head_seq BIGINT NOT NULL,
        at BIGINT NOT NULL
    )",
    // Streams that another has taken the place of, and how far each was durable here.
    "CREATE TABLE closed_streams (
        bank TEXT NOT NULL REFERENCES banks (id),
        stream {bytes} NOT NULL,
        committed BIGINT NOT NULL,
        hash {bytes} NOT NULL,
        successor {bytes} NOT NULL,
        closed_at BIGINT NOT NULL,
        PRIMARY KEY (bank, stream)
    )",
    // What a person must look at, or has.
    "CREATE TABLE alarms (
        id {serial},
        bank TEXT NOT NULL REFERENCES banks (id),
        kind TEXT NOT NULL,
        detail TEXT NOT NULL,
        raised_at BIGINT NOT NULL,
        dropped BIGINT NOT NULL,
        cleared_at BIGINT,
        cleared_by TEXT,
        note TEXT
    )",
    "CREATE INDEX alarms_by_bank ON alarms (bank, id)",
    // A bank that was stopped before there were alarms has one now: nobody could let it go on.
    "INSERT INTO alarms (bank, kind, detail, raised_at, dropped)
        SELECT id, stopped_reason, 'stopped before', created_at, 0 FROM banks
        WHERE stopped_reason IS NOT NULL",
    // Who an alarm names.
    "CREATE TABLE alarm_parties (
        alarm BIGINT NOT NULL REFERENCES alarms (id),
        certificate {bytes} NOT NULL,
        boot {bytes} NOT NULL,
        address TEXT NOT NULL,
        stream {bytes} NOT NULL,
        boot_count BIGINT NOT NULL,
        connection_count BIGINT NOT NULL,
        head_seq BIGINT NOT NULL,
        first_seen BIGINT NOT NULL,
        last_seen BIGINT NOT NULL,
        PRIMARY KEY (alarm, certificate, boot)
    )",
    // What they said, exactly as it came. No fact in it has taken effect.
    "CREATE TABLE kept_apart (
        id {serial},
        alarm BIGINT NOT NULL REFERENCES alarms (id),
        bank TEXT NOT NULL REFERENCES banks (id),
        address TEXT NOT NULL,
        certificate {bytes} NOT NULL,
        boot {bytes} NOT NULL,
        stream {bytes} NOT NULL,
        topic TEXT NOT NULL,
        bytes {bytes} NOT NULL,
        at BIGINT NOT NULL
    )",
    "CREATE INDEX kept_apart_by_bank ON kept_apart (bank, id)",
    "CREATE INDEX kept_apart_by_alarm ON kept_apart (alarm, id)",
    // Certificates that count no more.
    "CREATE TABLE revoked_certificates (
        bank TEXT NOT NULL REFERENCES banks (id),
        certificate {bytes} NOT NULL,
        revoked_at BIGINT NOT NULL,
        revoked_by TEXT NOT NULL,
        PRIMARY KEY (bank, certificate)
    )",
];
