use edge_agent::journal::Medium;

use super::*;

fn agent(name: &str) -> PathBuf {
    Path::new("/agent").join(name)
}

/// A synced file, whose name is not.
fn write(disk: &Disk, name: &str, bytes: &[u8]) {
    let file = disk.create(&agent(name)).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file.sync_data().unwrap();
}

fn read(disk: &Disk, name: &str) -> Option<Vec<u8>> {
    Some(disk.open_read(&agent(name)).ok()?.read_whole().unwrap())
}

/// What a power cut may leave: the names, once for each of many coins.
fn left(disk: &Disk, names: &[&str]) -> BTreeSet<Vec<bool>> {
    let image = disk.image();
    let after = |coin| {
        let disk = Disk::default();
        disk.put_back(&image);
        disk.cut_power(&mut Rng::new(coin));
        names.iter().map(|name| read(&disk, name).is_some()).collect()
    };
    (0..64).map(after).collect()
}

#[test]
fn the_sync_of_a_folder_covers_no_name_in_another() {
    let disk = Disk::default();
    disk.make_dir(&agent("one")).unwrap();
    disk.make_dir(&agent("other")).unwrap();
    disk.sync_dir(Path::new("/agent")).unwrap();
    write(&disk, "one/file", b"1");
    write(&disk, "other/file", b"2");
    disk.sync_dir(&agent("one")).unwrap();
    let either = BTreeSet::from([vec![true, true], vec![true, false]]);
    assert_eq!(left(&disk, &["one/file", "other/file"]), either);
    assert!(disk.is_durable(&agent("one"), "fi"));
    assert!(!disk.is_durable(&agent("other"), "fi"));
}

#[test]
fn what_is_in_a_folder_goes_with_the_folders_own_name() {
    let disk = Disk::default();
    disk.make_dir(&agent("new")).unwrap();
    write(&disk, "new/file", b"1");
    disk.sync_dir(&agent("new")).unwrap();
    assert_eq!(left(&disk, &["new/file"]), BTreeSet::from([vec![true], vec![false]]));
    assert!(!disk.is_durable(&agent("new"), "file"));
    disk.sync_dir(Path::new("/agent")).unwrap();
    assert_eq!(left(&disk, &["new/file"]), BTreeSet::from([vec![true]]));
}

#[test]
fn a_file_that_moved_to_another_folder_is_under_one_name_at_least() {
    let disk = Disk::default();
    for name in ["one", "other"] {
        disk.make_dir(&agent(name)).unwrap();
    }
    disk.sync_dir(Path::new("/agent")).unwrap();
    write(&disk, "one/file", b"1");
    disk.sync_dir(&agent("one")).unwrap();
    disk.rename(&agent("one/file"), &agent("other/file")).unwrap();
    let names = ["one/file", "other/file"];
    disk.sync_dir(&agent("one")).unwrap();
    assert_eq!(left(&disk, &names), BTreeSet::from([vec![true, false], vec![false, true]]));
    disk.sync_dir(&agent("other")).unwrap();
    assert_eq!(left(&disk, &names), BTreeSet::from([vec![true, true], vec![false, true]]));
    disk.sync_dir(&agent("one")).unwrap();
    assert_eq!(left(&disk, &names), BTreeSet::from([vec![false, true]]));
}

#[test]
fn a_folder_takes_what_is_in_it_along_and_goes_onto_nothing_else() {
    let disk = Disk::default();
    for name in ["old", "next"] {
        disk.make_dir(&agent(name)).unwrap();
        disk.sync_dir(Path::new("/agent")).unwrap();
        write(&disk, &format!("{name}/file"), name.as_bytes());
        disk.sync_dir(&agent(name)).unwrap();
    }
    let onto = disk.rename(&agent("next"), &agent("old")).unwrap_err();
    assert_eq!(onto.kind(), ErrorKind::DirectoryNotEmpty);
    disk.rename(&agent("old"), &agent("older")).unwrap();
    disk.rename(&agent("next"), &agent("old")).unwrap();
    assert_eq!(read(&disk, "old/file").unwrap(), b"next");
    let names = ["old/file", "next/file", "older/file"];
    // Neither move, the first, or both: the second alone would be onto a folder with something inside.
    let either = [[true, true, false], [false, true, true], [true, false, true]];
    assert_eq!(left(&disk, &names), either.map(Vec::from).into());
    disk.sync_dir(Path::new("/agent")).unwrap();
    assert_eq!(left(&disk, &names), BTreeSet::from([vec![true, false, true]]));
}
