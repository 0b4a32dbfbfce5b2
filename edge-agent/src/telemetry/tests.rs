use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::lane::FILE_SLOTS;
use super::waiting::{NEWEST_MAX, SURPLUS};
use super::*;
use crate::journal::Disk;
use crate::store::tests::disk::TestDisk;

const EVERY: Duration = Duration::from_secs(60);
/// Samples of a day.
const DAY: u64 = 24 * 60;

fn sample(began: Instant, n: u64) -> Sample {
    let at = UnixMillis(n * 60_000);
    let taken = began + EVERY * u32::try_from(n).unwrap();
    Sample { taken, said: Telemetry { at, ..Telemetry::default() } }
}

/// A lane, and what it was fed and gave back.
struct World {
    dir: TempDir,
    disk: TestDisk,
    limits: TelemetryLimits,
    began: Instant,
    lane: Lane,
}

impl World {
    fn new(limits: TelemetryLimits) -> Self {
        let (dir, disk, began) = (TempDir::new().unwrap(), TestDisk::default(), Instant::now());
        let lane = open(&disk, dir.path(), limits, began);
        Self { dir, disk, limits, began, lane }
    }

    /// Ends this run without a word and begins the next.
    fn restart(&mut self) {
        self.lane = open(&self.disk, self.dir.path(), self.limits, self.began);
    }

    fn feed(&mut self, numbers: std::ops::Range<u64>) {
        let numbers: Vec<u64> = numbers.collect();
        for some in numbers.chunks(SURPLUS) {
            let some: Vec<_> = some.iter().map(|n| sample(self.began, *n)).collect();
            self.lane.keep(&some);
        }
    }

    /// All that is left, oldest first, by the minute.
    fn drain(&mut self) -> Vec<u64> {
        let mut left = Vec::new();
        loop {
            let some = self.lane.hand_out();
            if some.is_empty() {
                return left;
            }
            left.extend(some.iter().map(|sample| sample.said.at.0 / 60_000));
        }
    }

    fn files(&self) -> Vec<std::path::PathBuf> {
        let mut files: Vec<_> =
            fs::read_dir(self.dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }
}

fn open(disk: &TestDisk, dir: &Path, limits: TelemetryLimits, began: Instant) -> Lane {
    Lane::open(Arc::new(disk.clone()), dir.to_owned(), limits, began)
}

fn len(of: &[u64]) -> u64 {
    u64::try_from(of.len()).unwrap()
}

/// The widest gap in what is left.
fn widest(left: &[u64]) -> u64 {
    left.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap()
}

#[test]
fn what_waits_longer_than_a_day_is_thinned_to_every_fifth_and_no_more() {
    let mut world = World::new(TelemetryLimits::default());
    world.feed(0..3 * DAY);
    let dropped = world.lane.take_dropped();
    let left = world.drain();
    assert!(left.is_sorted());
    assert_eq!((left.first(), left.last()), (Some(&0), Some(&(3 * DAY - 1))));
    assert_eq!(dropped + len(&left), 3 * DAY);
    let newest: Vec<u64> = left.iter().copied().filter(|n| *n >= 2 * DAY).collect();
    assert_eq!(newest, (2 * DAY..3 * DAY).collect::<Vec<_>>(), "a day is whole");
    let oldest: Vec<u64> = left.iter().copied().filter(|n| *n < DAY).collect();
    assert!(oldest.len() < 310 && widest(&oldest) == 5, "{oldest:?}");
    assert_eq!(world.lane.take_dropped(), 0, "what was handed out is not dropped");
    assert!(world.files().is_empty());
}

#[test]
fn what_does_not_fit_is_thinned_before_the_oldest_goes_and_all_of_it_is_counted() {
    let limits = TelemetryLimits { kept_bytes: KEPT_BYTES_MIN, ..TelemetryLimits::default() };
    let mut world = World::new(limits);
    world.feed(0..30 * DAY);
    let used: u64 = world.files().iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert!(used <= KEPT_BYTES_MIN, "{used}");
    let dropped = world.lane.take_dropped();
    let left = world.drain();
    assert_eq!(dropped + len(&left), 30 * DAY);
    assert!(left.is_sorted() && left.last() == Some(&(30 * DAY - 1)));
    assert!(left[0] > DAY, "the oldest went: {}", left[0]);
    assert!(widest(&left) <= 20, "no gap is wider than that: {}", widest(&left));
    let oldest: Vec<u64> = left.iter().copied().filter(|n| *n < left[0] + DAY).collect();
    assert!(oldest.len() < 110, "the older ones are thin: {}", oldest.len());
}

#[test]
fn samples_outlive_the_process_in_their_order_and_are_of_before_any_connection() {
    let mut world = World::new(TelemetryLimits::default());
    world.feed(0..40);
    world.restart();
    world.feed(40..70);
    let handed_out: Vec<Sample> =
        std::iter::from_fn(|| Some(world.lane.hand_out()).filter(|some| !some.is_empty()))
            .flatten()
            .collect();
    let minutes: Vec<u64> = handed_out.iter().map(|sample| sample.said.at.0 / 60_000).collect();
    assert_eq!(minutes, (0..70).collect::<Vec<_>>());
    let of_before = handed_out.iter().filter(|sample| sample.taken == world.began).count();
    assert_eq!(of_before, 40);
    assert_eq!(handed_out[69], sample(world.began, 69), "this run's keep when they were taken");
}

#[test]
fn what_was_handed_out_and_not_sent_is_taken_back() {
    let mut world = World::new(TelemetryLimits::default());
    world.feed(0..600);
    let some = world.lane.hand_out();
    world.lane.take_back(&some[100..]);
    world.restart();
    assert_eq!(world.drain(), (100..600).collect::<Vec<_>>());
    assert_eq!(world.lane.take_dropped(), 0);
}

#[test]
fn damage_costs_the_damaged_samples_and_never_a_start() {
    let mut world = World::new(TelemetryLimits::default());
    world.feed(0..600);
    let files = world.files();
    assert_eq!(files.len(), 3);
    // One flipped bit, a file of something else, and a torn end.
    let mut bytes = fs::read(&files[0]).unwrap();
    bytes[7 * SLOT_BYTES + 20] ^= 1;
    fs::write(&files[0], bytes).unwrap();
    fs::write(&files[1], vec![0xa5; 10 * SLOT_BYTES]).unwrap();
    let len = fs::metadata(&files[2]).unwrap().len();
    fs::OpenOptions::new().write(true).open(&files[2]).unwrap().set_len(len - 5).unwrap();
    fs::write(world.dir.path().join("samples-00000000000000000009.v1"), "").unwrap();
    fs::write(world.dir.path().join("notes"), "not the lane's").unwrap();
    world.restart();
    assert_eq!(world.lane.take_dropped(), 1 + 10 + 1);
    world.restart();
    assert_eq!(world.lane.take_dropped(), 0, "what was counted once is gone");
    // A file ends with the last run of samples that fits.
    let fed = (FILE_SLOTS / SURPLUS * SURPLUS) as u64;
    let wanted: Vec<u64> = (0..fed).filter(|n| *n != 7).chain(2 * fed..599).collect();
    assert_eq!(world.drain(), wanted);
    assert_eq!(world.files(), [world.dir.path().join("notes")]);
}

#[test]
fn a_folder_that_cannot_be_made_costs_the_samples_and_nothing_else() {
    let mut world = World::new(TelemetryLimits::default());
    let file = world.dir.path().join("file");
    fs::write(&file, "").unwrap();
    let mut lane = open(&world.disk, &file.join("inside"), world.limits, world.began);
    lane.keep(&[sample(world.began, 1), sample(world.began, 2)]);
    assert!(!lane.holds_any() && lane.hand_out().is_empty());
    assert_eq!(lane.take_dropped(), 2);
    assert_eq!(world.drain(), [0; 0]);
}

#[test]
fn on_a_full_disk_samples_are_dropped_and_counted_and_those_of_later_are_kept() {
    let mut world = World::new(TelemetryLimits::default());
    world.feed(0..15);
    world.disk.set_room(Some(100));
    world.feed(15..45);
    world.disk.set_room(None);
    world.feed(45..60);
    assert_eq!(world.lane.take_dropped(), 30);
    assert_eq!(world.drain(), (0..15).chain(45..60).collect::<Vec<_>>());
    world.disk.set_room(Some(0));
    world.feed(60..75);
    assert_eq!((world.lane.take_dropped(), world.lane.holds_any()), (15, false));
    assert!(world.files().is_empty(), "no empty file is left");
}

#[test]
fn nothing_of_the_lane_is_ever_synced() {
    let mut world = World::new(TelemetryLimits::default());
    world.feed(0..3 * DAY);
    world.restart();
    world.drain();
    assert_eq!(world.disk.diary(), [""; 0]);
}

#[test]
fn the_bytes_of_a_slot_are_frozen_and_any_damage_to_them_shows() {
    let said = Telemetry { at: UnixMillis(1_800_000_000_000), mains: Some(true), ..full() };
    let slot = slot::encode(61_000, &said).unwrap();
    assert_eq!(slot::decode(&slot), Some((61_000, said)));
    for at in 0..slot.len() {
        let mut damaged = slot;
        damaged[at] ^= 0x10;
        assert_eq!(slot::decode(&damaged), None, "byte {at}");
    }
    let small = Telemetry { at: UnixMillis(1_800_000_000_000), ..Telemetry::default() };
    let small = slot::encode(61_000, &small).unwrap();
    let hex: String = small.iter().take(24).map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, GOLDEN);
    assert!(small[24..].iter().all(|byte| *byte == 0));
    assert_eq!(slot::decode(&[0; SLOT_BYTES]), None, "a hole that a power cut left");
}

const GOLDEN: &str = "44365b6448ee000000000000070880a0f1c2b13400000000";

/// As long as a sample can be.
fn full() -> Telemetry {
    Telemetry {
        at: UnixMillis(u64::MAX),
        resident_bytes: Some(u64::MAX),
        disk_free_bytes: Some(u64::MAX),
        backlog_records: Some(u64::MAX),
        temperature_mdeg_c: Some(i32::MIN),
        mains: Some(true),
        rssi_dbm: Some(i32::MIN),
        longest_poll_ms: Some(u32::MAX),
        bus_errors: Some(u64::MAX),
        historical: true,
        samples_dropped: u64::MAX,
    }
}

#[test]
fn the_longest_sample_there_can_be_fits_into_a_slot() {
    let slot = slot::encode(u64::MAX, &full()).unwrap();
    assert_eq!(slot::decode(&slot), Some((u64::MAX, full())));
}

#[test]
fn memory_keeps_the_newest_while_nobody_puts_them_into_files() {
    let (samples, began) = (Samples::default(), Instant::now());
    for n in 0..NEWEST_MAX as u64 + 3 {
        samples.add(sample(began, n));
    }
    let first = samples.next(began).unwrap();
    assert_eq!((first.at, first.samples_dropped), (UnixMillis(3 * 60_000), 3));
}

#[test]
fn how_much_the_hub_lacks_is_not_known_before_its_first_word() {
    let samples = Samples::default();
    assert_eq!(samples.lacking(9), None);
    samples.committed(4);
    assert_eq!(samples.lacking(9), Some(5));
    assert_eq!(samples.lacking(3), Some(0));
}

fn write(root: &Path, file: &str, text: &str) {
    let path = root.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn sources(root: &Path) -> Sources {
    Sources { sys: root.join("sys"), proc: root.join("proc"), data_dir: root.to_owned() }
}

#[test]
fn every_sensor_that_is_there_is_read() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), "sys/class/thermal/thermal_zone0/temp", "41000\n");
    write(dir.path(), "sys/class/thermal/thermal_zone1/temp", "-3500\n");
    write(dir.path(), "sys/class/thermal/cooling_device0/temp", "99000\n");
    write(dir.path(), "sys/class/power_supply/BAT0/type", "Battery\n");
    write(dir.path(), "sys/class/power_supply/BAT0/online", "1\n");
    write(dir.path(), "sys/class/power_supply/AC/type", "Mains\n");
    write(dir.path(), "sys/class/power_supply/AC/online", "0\n");
    let wireless = "Inter-| sta-|   Quality        |   Discarded packets\n \
        face | tus | link level noise |  nwid  crypt   frag\n \
        wlan0: 0000   54.  -56.  -256        0      0      0\n";
    write(dir.path(), "proc/net/wireless", wireless);
    write(dir.path(), "proc/self/status", "Name:\tagent\nVmRSS:\t   14336 kB\nThreads:\t4\n");
    let read = sources(dir.path()).read();
    assert!(read.disk_free_bytes.is_some_and(|bytes| bytes > 0));
    let wanted = Sensors {
        temperature_mdeg_c: Some(41_000),
        mains: Some(false),
        rssi_dbm: Some(-56),
        disk_free_bytes: read.disk_free_bytes,
        resident_bytes: Some(14 << 20),
    };
    assert_eq!(read, wanted);
}

#[test]
fn a_sensor_that_is_not_there_is_absent_and_never_zero() {
    let dir = TempDir::new().unwrap();
    let missing = Sources { data_dir: dir.path().join("nowhere"), ..sources(dir.path()) };
    assert_eq!(missing.read(), Sensors::default());
    // Files that are there and say nothing of use are no better.
    write(dir.path(), "sys/class/thermal/thermal_zone0/temp", "N/A\n");
    write(dir.path(), "sys/class/power_supply/AC/type", "Mains\n");
    write(dir.path(), "proc/net/wireless", "Inter-|\n face |\n wlan0: 0000 54. 40. 0 0\n");
    write(dir.path(), "proc/self/status", "Name:\tagent\n");
    assert_eq!(missing.read(), Sensors::default());
    let nothing = said(Sensors::default(), &[], UnixMillis(5));
    assert_eq!(nothing, Telemetry { at: UnixMillis(5), ..Telemetry::default() });
}

#[test]
fn errors_of_all_buses_are_added_and_the_longest_gap_is_of_the_worst() {
    let one = BusCounters { timeouts: 2, longest_reading_gap_ms: 300, ..BusCounters::default() };
    let two = BusCounters { checksum: 5, longest_reading_gap_ms: 250, ..BusCounters::default() };
    let said = said(Sensors::default(), &[one, two], UnixMillis(5));
    assert_eq!((said.bus_errors, said.longest_poll_ms), (Some(7), Some(300)));
}

/// Sampling into `root`, which says how to stop it.
fn sampling(root: &Path, every_ms: u64, samples: &Samples) -> (Sampling, watch::Sender<bool>) {
    let (head, stop) = (watch::Sender::new(8), watch::Sender::new(false));
    let sampling = Sampling {
        limits: TelemetryLimits { every_ms, ..TelemetryLimits::default() },
        sources: sources(root),
        buses: Vec::new(),
        head: head.subscribe(),
        system_time: || UnixMillis(7),
        medium: Arc::new(Disk),
        samples: samples.clone(),
        stop: stop.subscribe(),
    };
    (sampling, stop)
}

#[tokio::test(start_paused = true)]
async fn samples_are_taken_at_once_and_then_every_so_often_until_the_stop() {
    let (dir, samples) = (TempDir::new().unwrap(), Samples::default());
    samples.committed(3);
    let (sampling, stop) = sampling(dir.path(), 1_000, &samples);
    let task = tokio::spawn(run(sampling));
    let began = Instant::now();
    for _ in 0..3 {
        samples.ready(began).await;
        let said = samples.next(began).unwrap();
        assert_eq!((said.backlog_records, said.historical, said.at.0), (Some(5), false, 7));
    }
    assert!(began.elapsed() >= Duration::from_secs(2));
    stop.send_replace(true);
    task.await.unwrap();
    assert_eq!(fs::read_dir(dir.path().join(FOLDER)).unwrap().count(), 0, "no file was needed");
}

#[tokio::test(start_paused = true)]
async fn a_connection_gets_what_waited_in_files_first_and_a_stop_keeps_what_it_did_not_get() {
    let (dir, samples) = (TempDir::new().unwrap(), Samples::default());
    let (sampling_began, stop) = sampling(dir.path(), 1_000, &samples);
    let task = tokio::spawn(run(sampling_began));
    tokio::time::sleep(Duration::from_millis(39_500)).await;
    let linked = Instant::now();
    let mut taken = 0;
    for _ in 0..12 {
        samples.ready(linked).await;
        assert!(samples.next(linked).unwrap().historical);
        taken += 1;
    }
    stop.send_replace(true);
    task.await.unwrap();

    // The next run has the rest, and what it takes itself comes after that.
    let samples = Samples::default();
    let (sampling_again, stop) = sampling(dir.path(), 1_000, &samples);
    let task = tokio::spawn(run(sampling_again));
    tokio::time::sleep(Duration::from_millis(500)).await;
    let linked = Instant::now();
    loop {
        samples.ready(linked).await;
        taken += 1;
        if !samples.next(linked).unwrap().historical {
            break;
        }
    }
    // 40 by the first run, the second's first, and the one that ends the loop.
    assert_eq!(taken, 40 + 1 + 1);
    stop.send_replace(true);
    task.await.unwrap();
}
