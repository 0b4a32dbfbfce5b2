//! After one start too many no lock is pulsed for a while, whoever asks, and then all are as ever.

use locker_core::bank::Alarm;

use super::*;

const CALM: Duration = Duration::from_secs(30);

#[tokio::test(start_paused = true)]
async fn p_d_after_starts_in_a_loop_no_door_opens_until_the_supply_had_time_to_recover() {
    let mut world = World::ready().await;
    world.mint(&["123456"]).await;
    world.stored(1).await;
    let mut world = world.killed_and_started_again_calm(CALM).await;
    let began = Instant::now();
    world.hear().await;
    world.doors_known().await;
    let alarm = |fact: &Fact| *fact == Fact::Alarm(Alarm::Restarting);
    assert_eq!(world.facts().iter().filter(|fact| alarm(fact)).count(), 1, "the hub hears of it");
    let left_ms = world.state.borrow().at(began).calm_ms;
    assert!((20_000..=30_000).contains(&left_ms), "the screen says how long: {left_ms}");

    let before = world.facts().len();
    assert_eq!(world.scan(&code(1)).await, Err(Refusal::JustStarted));
    for digits in ["123456", "654321"] {
        let typed = world.key_in(digits, None).await;
        assert_eq!(typed, Err(Refusal::JustStarted), "right or wrong, nobody is told which");
    }
    assert_eq!(world.facts().len(), before, "as if nobody had asked");
    world.courier_with(2).await;
    assert_eq!(world.scan("PKG2").await, Err(Refusal::JustStarted), "a courier may sign in");
    world.ask(Ask::Finish).await.unwrap();
    assert_eq!((world.sim.pulses(), world.intents()), (1, 1));

    let calm = |state: &PanelState| state.calm_until.is_none();
    world.until("doors open again", calm).await;
    assert!(began.elapsed() <= CALM + Duration::from_secs(1), "and not much later");
    assert_eq!(world.state.borrow().at(Instant::now()).calm_ms, 0);
    world.scan(&code(1)).await.unwrap();
    world.through_the_door(Ask::Taken).await.unwrap();
    assert_eq!((world.sim.pulses(), world.intents()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn p_d_without_a_time_to_wait_there_is_no_alarm_either() {
    let world = World::ready().await.killed_and_started_again_calm(Duration::ZERO).await;
    assert!(!world.facts().contains(&Fact::Alarm(Alarm::Restarting)));
    assert_eq!(world.state.borrow().calm_until, None);
}
