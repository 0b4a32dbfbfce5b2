//! Orders of the hub: followed once, in time and by their own connection, or answered and not
//! followed.

use locker_proto::message::CommandKind;

use super::*;
use crate::bank::hub::COMMANDS_REMEMBERED_MAX;

fn is_locked_down(world: &World) -> bool {
    world.view().meta().lockdown.is_some()
}

#[tokio::test(start_paused = true)]
async fn c12_an_order_is_followed_once_however_often_it_comes() {
    let world = World::ready().await;
    let in_time = NOW.plus_ms(60_000);
    world.order(1, in_time, true).await;
    assert!(is_locked_down(&world));
    assert!(world.state.borrow().lockdown.is_some());
    assert_eq!(world.answers(), [CommandAnswer::Done]);
    for n in [1, 2] {
        world.scan(&world::staff(n)).await.unwrap();
        world.ask(Ask::LiftLockdown).await.unwrap();
    }
    assert!(!is_locked_down(&world));
    let facts = world.facts().len();
    world.order(1, in_time, true).await;
    assert_eq!(world.facts().len(), facts, "said once");
    assert!(!is_locked_down(&world), "and done once");
    // The same wish as another order is another matter; while it holds, nothing begins anew.
    world.order(2, in_time, true).await;
    world.order(3, in_time, true).await;
    assert_eq!(world.answers(), [CommandAnswer::Done; 3]);
    let began = |fact: &&Fact| matches!(fact, Fact::LockdownBegan(_));
    assert_eq!(world.facts().iter().filter(began).count(), 2);
}

#[tokio::test(start_paused = true)]
async fn c12_an_order_for_another_connection_or_of_an_unknown_kind_is_not_followed() {
    let world = World::ready().await;
    let in_time = NOW.plus_ms(60_000);
    world.order(1, in_time, false).await;
    world.order_of(2, in_time, true, None).await;
    assert_eq!(world.answers(), [CommandAnswer::OtherConnection, CommandAnswer::NotUnderstood]);
    assert!(!is_locked_down(&world));
}

#[tokio::test(start_paused = true)]
async fn r03_an_order_that_comes_late_is_answered_and_never_followed() {
    let world = World::ready().await;
    let not_after = NOW.plus_ms(60_000);
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    world.order(1, not_after, true).await;
    world.order(2, not_after, false).await;
    assert_eq!(world.answers(), [CommandAnswer::Expired, CommandAnswer::Expired]);
    assert!(!is_locked_down(&world));
}

#[tokio::test(start_paused = true)]
async fn c12_while_the_clock_is_unknown_no_order_is_in_time() {
    let world = World::ready().await.killed_and_started_again().await;
    world.doors_known().await;
    world.order(1, UnixMillis(u64::MAX), true).await;
    assert_eq!(world.answers(), [CommandAnswer::Expired]);
    assert!(!is_locked_down(&world));
}

#[tokio::test(start_paused = true)]
async fn c12_a_flood_of_orders_in_one_connection_is_not_followed_to_its_end() {
    let world = World::ready().await;
    let most = u8::try_from(COMMANDS_REMEMBERED_MAX - 1).unwrap();
    let in_time = NOW.plus_ms(600_000);
    let send = async |id: u16| {
        let mut bytes = [0; 16];
        bytes[..2].copy_from_slice(&id.to_be_bytes());
        let command = Command {
            id: locker_core::ids::CommandId(bytes),
            bank: world::bank(),
            nonce: locker_proto::message::Nonce([0; 16]),
            not_after: in_time,
            kind: Some(CommandKind::LockDown),
        };
        world.events.send(Event::Command { command, current: true }).await.unwrap();
    };
    for id in 0..=u16::from(most) + 5 {
        send(id).await;
    }
    // Not by way of an introduction, which is a birth.
    let (reply, answer) = oneshot::channel();
    world.events.send(Event::Recalls { reply }).await.unwrap();
    answer.await.unwrap().unwrap_err();
    assert_eq!(world.answers().len(), COMMANDS_REMEMBERED_MAX);
    world.introduction().await;
    send(1_000).await;
    world.settle().await;
    assert_eq!(world.answers().len(), COMMANDS_REMEMBERED_MAX + 1, "after a new birth again");
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_does_not_keep_an_order_from_being_followed() {
    let world = World::ready().await;
    world.disk.set_room(Some(0));
    world.order(1, NOW, true).await;
    assert_eq!(world.answers(), [], "that it was late can wait");
    world.order(2, NOW.plus_ms(60_000), true).await;
    assert_eq!(world.answers(), [CommandAnswer::Done]);
    assert!(is_locked_down(&world));
}
