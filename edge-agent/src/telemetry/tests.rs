use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::*;

const EVERY: Duration = Duration::from_secs(60);

fn sample(began: Instant, n: u32) -> Sample {
    let at = UnixMillis(u64::from(n));
    Sample { taken: began + EVERY * n, said: Telemetry { at, ..Telemetry::default() } }
}

fn left(backlog: &mut Backlog) -> Vec<u64> {
    std::iter::from_fn(|| backlog.pop()).map(|sample| sample.said.at.0).collect()
}

#[test]
fn a_full_backlog_is_thinned_out_among_the_older_before_anything_is_lost_at_the_end() {
    let (mut backlog, began) = (Backlog::new(16, EVERY), Instant::now());
    for n in 0..16 {
        backlog.push(sample(began, n));
    }
    assert_eq!(backlog.dropped(), 0);
    backlog.push(sample(began, 16));
    assert_eq!(backlog.dropped(), 6);
    // The very first stays, and so does the newest quarter.
    assert_eq!(left(&mut backlog), [0, 2, 4, 6, 8, 10, 12, 13, 14, 15, 16]);
}

#[test]
fn what_is_thin_already_goes_oldest_first_and_everything_left_out_is_counted() {
    let (mut backlog, began) = (Backlog::new(16, EVERY), Instant::now());
    for n in 0..2_000 {
        backlog.push(sample(began, n));
    }
    let dropped = backlog.dropped();
    let left = left(&mut backlog);
    assert_eq!(dropped + u64::try_from(left.len()).unwrap(), 2_000);
    assert!(left.len() <= 16 && left.is_sorted());
    assert_eq!(left.last(), Some(&1_999));
    assert!(left[0] > 1_000, "the oldest went: {left:?}");
    let gaps = left.windows(2).map(|pair| pair[1] - pair[0]);
    assert!(gaps.clone().all(|gap| gap <= 15), "no gap is wider than that: {left:?}");
    assert!(gaps.max().unwrap() > 4, "the older ones are thin: {left:?}");
}

#[tokio::test(start_paused = true)]
async fn a_sample_taken_before_the_connection_is_marked_historical_and_tells_of_the_lost() {
    let samples = Samples::new(TelemetryLimits { kept_samples: 16, ..TelemetryLimits::default() });
    let began = Instant::now();
    for n in 0..17 {
        samples.add(sample(began, n));
    }
    let linked = began + EVERY * 15;
    samples.ready(began).await;
    let said: Vec<_> = std::iter::from_fn(|| samples.next(linked)).collect();
    assert!(said.iter().all(|said| said.samples_dropped == 6));
    let historical: Vec<_> = said.iter().filter(|said| said.historical).map(|s| s.at.0).collect();
    assert_eq!(historical, [0, 2, 4, 6, 8, 10, 12, 13, 14]);
}

#[test]
fn how_much_the_hub_lacks_is_not_known_before_its_first_word() {
    let samples = Samples::new(TelemetryLimits::default());
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

#[tokio::test(start_paused = true)]
async fn samples_are_taken_at_once_and_then_every_so_often_until_the_stop() {
    let dir = TempDir::new().unwrap();
    let limits = TelemetryLimits { every_ms: 1_000, ..TelemetryLimits::default() };
    let samples = Samples::new(limits);
    samples.committed(3);
    let (head, stop) = (watch::Sender::new(8), watch::Sender::new(false));
    let sampling = Sampling {
        limits,
        sources: sources(dir.path()),
        buses: Vec::new(),
        head: head.subscribe(),
        system_time: || UnixMillis(7),
        samples: samples.clone(),
        stop: stop.subscribe(),
    };
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
}
