use super::*;
use crate::tls::Limits;

const SMALLEST: &str = r#"
[mqtt]
listen = "127.0.0.1:0"
[grpc]
listen = "127.0.0.1:0"
[tls]
certificate = "pki/hub.pem"
key = "pki/hub.key"
client_authorities = "/etc/postern/ca.pem"
[store]
url = "sqlite://hub.db"
[keys]
set = "pki/key-set.signed"
command = [{ id = 1, file = "pki/command-1.key" }]
credential = [{ id = 1, file = "pki/credential-1.key" }]
"#;

fn load(text: &str) -> Result<Config, LoadConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cloud-hub.toml");
    std::fs::write(&path, text).unwrap();
    Config::load(&path)
}

fn refusal(text: &str) -> String {
    load(text).unwrap_err().to_string()
}

#[test]
fn the_smallest_file_gets_every_default() {
    let config = load(SMALLEST).unwrap();
    assert_eq!(config.parcels.retention_ms(), 7 * 86_400_000);
    assert_eq!(config.grpc.limits.call_timeout_ms, 30_000);
    assert_eq!(config.mqtt.connections.listener().pending, Limits::default().pending);
    assert!(config.notices.is_none());
}

#[test]
fn relative_paths_count_from_the_files_folder() {
    let config = load(SMALLEST).unwrap();
    assert!(
        config.tls.certificate.is_absolute() && config.tls.certificate.ends_with("pki/hub.pem")
    );
    assert_eq!(config.tls.client_authorities, Path::new("/etc/postern/ca.pem"));
    assert!(
        config.store.url.starts_with("sqlite:///")
            && config.store.url.ends_with("/hub.db?mode=rwc")
    );
}

#[test]
fn an_absolute_store_and_its_own_mode_stay() {
    assert_eq!(
        sqlite_url("sqlite:///var/lib/postern/hub.db?mode=rw", Path::new("/etc")),
        "sqlite:///var/lib/postern/hub.db?mode=rw"
    );
    assert_eq!(sqlite_url("sqlite::memory:", Path::new("/etc")), "sqlite::memory:");
}

#[test]
fn an_unknown_key_is_named_with_its_file_and_line() {
    let said = refusal(&SMALLEST.replace("[keys]", "[keys]\ncommands = 1"));
    assert!(said.contains("cloud-hub.toml"), "{said}");
    assert!(
        said.contains("commands") && said.contains("line") && said.contains("`command`"),
        "{said}"
    );
}

#[test]
fn a_missing_key_is_named() {
    let said = refusal(&SMALLEST.replace("key = \"pki/hub.key\"\n", ""));
    assert!(said.contains("missing field `key`"), "{said}");
}

#[test]
fn a_wrong_type_says_what_is_expected() {
    let said = refusal(&SMALLEST.replacen("\"127.0.0.1:0\"", "\"somewhere\"", 1));
    assert!(said.contains("listen") && said.contains("socket address"), "{said}");
}

#[test]
fn values_out_of_bounds_name_their_key_and_range() {
    let said = refusal(&format!("{SMALLEST}[parcels]\nretention_hours = 0\n"));
    assert!(said.ends_with("parcels.retention_hours: expected 1 to 8760 hours"), "{said}");
    let said = refusal(&format!("{SMALLEST}[grpc.limits]\nwatch_page = 0\n"));
    assert!(said.ends_with("grpc.limits.watch_page: expected 1 to 10000, found 0"), "{said}");
    let said = refusal(&format!("{SMALLEST}[mqtt.connections]\npending = 0\n"));
    assert!(said.contains("mqtt.connections.pending"), "{said}");
}

#[test]
fn notices_need_a_sender_and_a_way() {
    let said = refusal(&format!("{SMALLEST}[notices]\nfrom = \"nobody\"\nmailbox = \"m\"\n"));
    assert!(said.contains("notices.from"), "{said}");
    let said = refusal(&format!("{SMALLEST}[notices]\nfrom = \"a@example.org\"\n"));
    assert!(said.contains("mailbox"), "{said}");
    let smtp = "[notices.smtp]\nhost = \"localhost\"\nsecurity = \"plain\"\nuser = \"u\"\n";
    let said = refusal(&format!("{SMALLEST}[notices]\nfrom = \"a@example.org\"\n{smtp}"));
    assert!(said.contains("password_file"), "{said}");
}

#[test]
fn r07_the_moments_of_reminders_are_a_few_percentages_in_order_or_the_hub_does_not_start() {
    let with = |percent: &str| {
        format!(
            "{SMALLEST}[notices]\nfrom = \"a@example.org\"\nmailbox = \"m\"\n\
             [notices.limits]\nremind_at_percent = {percent}\n"
        )
    };
    let moments = |text: &str| load(text).unwrap().notices.unwrap().limits.remind_at_percent;
    assert_eq!(moments(&with("[50, 80]").replace("remind_at_percent = [50, 80]\n", "")), [50, 80]);
    assert_eq!(moments(&with("[]")), [0_u8; 0]);
    assert_eq!(moments(&with("[1, 30, 60, 99]")), [1, 30, 60, 99]);
    for wrong in ["[0]", "[100]", "[80, 50]", "[50, 50]", "[10, 20, 30, 40, 50]"] {
        let error = load(&with(wrong)).unwrap_err();
        assert!(
            matches!(&error, LoadConfigError::Value { key, .. }
            if key == "notices.limits.remind_at_percent"),
            "{error}"
        );
        let said = error.to_string();
        let expected = "expected up to 4 percentages of 1 to 99, ascending, found ";
        assert!(said.ends_with(&format!("{expected}{wrong}")), "{said}");
    }
    assert!(refusal(&with("[300]")).contains("u8"));
}

#[test]
fn the_shipped_example_is_sound() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/config/cloud-hub.toml");
    let config = Config::load(&path).unwrap();
    assert!(config.notices.is_some() && config.codes.is_some());
}

#[test]
fn six_digit_codes_are_set_up_with_their_keys_or_not_at_all() {
    assert!(load(SMALLEST).unwrap().codes.is_none());
    let keys = "master_file = \"m.key\"\nsealing = [{ id = 1, file = \"/etc/s.key\" }]\n";
    let with = |more: &str| format!("{SMALLEST}[codes]\n{keys}{more}");
    let codes = load(&with("")).unwrap().codes.unwrap();
    assert_eq!((codes.dark_days, codes.mint_every_s), (3, 300));
    assert!(codes.master_file.is_absolute() && codes.master_file.ends_with("m.key"));
    assert_eq!(codes.sealing[0].file, Path::new("/etc/s.key"));
    for (more, wrong) in [
        ("dark_days = 0", "codes.dark_days: expected 1 to 14, found 0"),
        ("dark_days = 15", "codes.dark_days"),
        ("mint_every_s = 0", "codes.mint_every_s"),
    ] {
        let refused = refusal(&with(more));
        assert!(refused.contains(wrong), "{refused}");
    }
    let refused = refusal(&format!("{SMALLEST}[codes]\nmaster_file = \"m\"\nsealing = []\n"));
    assert!(refused.contains("codes.sealing: expected 1 to 8 keys"), "{refused}");
}

#[test]
fn backups_are_made_by_the_clock_once_there_is_a_folder_for_them() {
    let store = load(SMALLEST).unwrap().store;
    assert!(store.backup.is_none());
    assert_eq!(store.safe_after_ms(), 7 * 86_400_000);
    let with = |more: &str| format!("{SMALLEST}[store.backup]\nfolder = \"backups\"\n{more}");
    let backup = load(&with("")).unwrap().store.backup.unwrap();
    assert_eq!((backup.every_minutes, backup.keep), (60, 48));
    assert!(backup.folder.is_absolute() && backup.folder.ends_with("backups"));
    for (more, wrong) in [
        ("every_minutes = 0", "store.backup.every_minutes: expected 1 to 10080, found 0"),
        ("keep = 0", "store.backup.keep"),
        ("often = 1", "often"),
    ] {
        let refused = refusal(&with(more));
        assert!(refused.contains(wrong), "{refused}");
    }
}
