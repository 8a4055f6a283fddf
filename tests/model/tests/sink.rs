//! The bounded sink: each message is delivered or counted, whatever comes in between; few messages in every order there
//! is.

use std::{collections::HashMap, error::Error, fmt, iter};

use keygate::{
    KeyId, Owner, UnixTime,
    audit::{Event, Principal, RefusalReason},
    store::{SecretSlot, Touch},
};
use keygate_model::{
    AuditSink, Message,
    channel::{ChannelSink, SinkCapacity, SinkReceivers},
    exhaust, sample,
};
use shuttle::{sync::mpsc::Receiver, thread};

use Kind::{Failed, Refused, Stranger};

/// The kinds of messages that have a queue.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Failed,
    Refused,
    Stranger,
}

impl Kind {
    fn tell(self, sink: &ChannelSink, sent: Sent) {
        match self {
            Failed => sink.tell(Message::Failed(&Down(sent))),
            Refused => sink.tell(Message::Event(sent.event())),
            Stranger => sink.tell(Message::Stranger(sent.event())),
        }
    }

    fn lost(self, sink: &ChannelSink) -> u64 {
        match self {
            Failed => sink.lost().failures,
            Refused => sink.lost().events,
            Stranger => sink.lost().strangers,
        }
    }

    /// Takes so many messages of this kind, and then goes.
    fn receive(self, receivers: SinkReceivers, count: usize) -> Vec<Sent> {
        fn take<T>(queue: Receiver<T>, count: usize, read: impl FnMut(T) -> Sent) -> Vec<Sent> {
            queue.iter().take(count).map(read).collect()
        }
        // The other queues stay, and nobody reads them.
        let SinkReceivers { events, strangers, failures, touches: _touches, .. } = receivers;
        match self {
            Failed => take(failures, count, |text| Sent::read(&text)),
            Refused => take(events, count, |event| Sent::of(&event)),
            Stranger => take(strangers, count, |event| Sent::of(&event)),
        }
    }
}

/// Who sent a message, and which of theirs it is.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
struct Sent(u8, i64);

impl Sent {
    fn event(self) -> Event {
        let Self(sender, number) = self;
        let target = (id(sender), Owner::Team("core".parse().unwrap()));
        Event::refused(UnixTime::from_secs(number), Principal::Unknown, Some(target), None, RefusalReason::SERVICE_RULE)
    }

    fn of(event: &Event) -> Self {
        Self(u8::from(event.key == Some(id(1))), event.at.as_secs())
    }

    fn read(text: &str) -> Self {
        let (sender, number) = text.split_once(' ').unwrap();
        Self(sender.parse().unwrap(), number.parse().unwrap())
    }
}

fn id(sender: u8) -> KeyId {
    format!("sender{sender:010}").parse().unwrap()
}

#[derive(Debug)]
struct Down(Sent);

impl fmt::Display for Down {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(Sent(sender, number)) = self;
        write!(f, "{sender} {number}")
    }
}

impl Error for Down {}

fn sink(capacity: u16) -> (ChannelSink, SinkReceivers) {
    let mut of_each = SinkCapacity::default();
    of_each.events = capacity;
    of_each.failures = capacity;
    of_each.strangers = capacity;
    of_each.touches = capacity.into();
    ChannelSink::new(of_each)
}

const ALL: usize = usize::MAX;

#[derive(Clone, Copy, PartialEq)]
enum Counts {
    AfterEach,
    AtTheEnd,
}

use Counts::{AfterEach, AtTheEnd};

/// Two senders of messages, and a receiver that takes so many of the first kind of the first sender and then goes.
///
/// Each look at the counts takes as many steps as there are counts, so where every order is tried they are looked at
/// once.
fn run(capacity: u16, kinds: [&'static [Kind]; 2], takes: usize, look_at_counts: Counts) {
    let (sink, receivers) = sink(capacity);
    let received = kinds[0][0];
    let receiver = thread::spawn(move || received.receive(receivers, takes));
    let senders = [0, 1].map(|sender| {
        let sink = sink.clone();
        thread::spawn(move || {
            let tell = |(number, kind): (i64, Kind)| {
                kind.tell(&sink, Sent(sender, number));
                (kind, Sent(sender, number), (look_at_counts == AfterEach).then(|| kind.lost(&sink)))
            };
            iter::zip(1.., kinds[usize::from(sender)].iter().copied()).map(tell).collect::<Vec<_>>()
        })
    });
    let told = senders.map(|sender| sender.join().unwrap());
    let lost = received.lost(&sink);
    drop(sink);
    let delivered = receiver.join().unwrap();

    let told = told.map(|told| told.into_iter().filter(|(kind, ..)| *kind == received).collect::<Vec<_>>());
    // What waits when the receiver goes is gone with it, and nobody can say what it was.
    let stays = takes == ALL;
    let is_missing = |sent: &Sent| !delivered.contains(sent);
    let missing = count(told.iter().flatten().filter(|(_, sent, _)| is_missing(sent)));
    assert!(lost <= missing, "counted, and delivered as well: {delivered:?}");
    let unknown = missing - lost;
    assert!(unknown <= if stays { 0 } else { capacity as u64 }, "neither delivered nor counted: {delivered:?}");
    assert_eq!(
        count(delivered.iter()),
        count(told.iter().flatten().filter(|(_, sent, _)| !is_missing(sent))),
        "twice: {delivered:?}"
    );
    for told in &told {
        let places = told.iter().filter_map(|(_, sent, _)| delivered.iter().position(|other| other == sent));
        assert!(places.is_sorted(), "out of order: {delivered:?}");
        for (place, (.., counted)) in told.iter().enumerate() {
            let Some(counted) = *counted else { continue };
            let own = count(told[..=place].iter().filter(|(_, sent, _)| is_missing(sent)));
            assert!(!stays || own <= counted, "counted after the sender was told that it can go on");
            assert!(counted <= lost, "a count went down");
        }
    }
}

fn count(messages: impl Iterator) -> u64 {
    u64::try_from(messages.count()).unwrap()
}

#[test]
fn each_message_is_delivered_or_counted() {
    exhaust("sink for 1, 2 messages", || run(1, [&[Failed], &[Failed]], ALL, AtTheEnd));
    for kind in [Failed, Refused, Stranger] {
        let two: &'static [Kind] = match kind {
            Failed => &[Failed; 2],
            Refused => &[Refused; 2],
            Stranger => &[Stranger; 2],
        };
        for capacity in 0..=2 {
            sample(&format!("sink for {capacity}, 4 messages, {kind:?}"), move || {
                run(capacity, [two, two], ALL, AfterEach)
            });
        }
    }
}

#[test]
#[ignore = "a minute"]
fn each_of_three_messages_is_delivered_or_counted() {
    exhaust("sink for 1, 2 refusals", || run(1, [&[Refused], &[Refused]], ALL, AtTheEnd));
    exhaust("sink for 0, 2 messages", || run(0, [&[Failed], &[Failed]], ALL, AtTheEnd));
    exhaust("sink for 1, 3 messages", || run(1, [&[Failed, Failed], &[Failed]], ALL, AtTheEnd));
}

/// A queue that is full, and that nobody reads, pushes nothing out of another one: there is room for what is received.
#[test]
fn each_kind_has_a_queue_of_its_own() {
    let others: [(Kind, [&'static [Kind]; 2]); 3] = [
        (Failed, [&[Failed, Stranger, Refused], &[Stranger, Refused, Stranger]]),
        (Refused, [&[Refused, Stranger, Failed], &[Stranger, Failed, Stranger]]),
        (Stranger, [&[Stranger, Refused, Failed], &[Refused, Failed, Refused]]),
    ];
    for (received, told) in others {
        sample(&format!("sink for 1, 3 kinds of messages, {received:?} read"), move || {
            let (sink, receivers) = sink(1);
            let receiver = thread::spawn(move || received.receive(receivers, ALL));
            let senders = [0, 1].map(|sender| {
                let sink = sink.clone();
                thread::spawn(move || {
                    iter::zip(1.., told[usize::from(sender)])
                        .for_each(|(number, kind)| kind.tell(&sink, Sent(sender, number)));
                })
            });
            senders.into_iter().for_each(|sender| sender.join().unwrap());
            assert_eq!(received.lost(&sink), 0, "there was room for it");
            drop(sink);
            assert_eq!(receiver.join().unwrap(), [Sent(0, 1)], "another kind is in its queue");
        });
    }
}

#[test]
fn what_nobody_takes_is_counted() {
    exhaust("sink for 1, none taken", || run(1, [&[Failed], &[Failed]], 0, AtTheEnd));
    sample("sink for 1, one taken", || run(1, [&[Refused; 2], &[Refused; 2]], 1, AfterEach));
}

#[test]
fn nobody_waits_for_a_receiver() {
    sample("sink for 1, taken when all is told", || {
        let (sink, receivers) = sink(1);
        let sender = sink.clone();
        thread::spawn(move || (0..3).for_each(|number| Refused.tell(&sender, Sent(0, number)))).join().unwrap();
        assert_eq!((receivers.events.try_iter().count(), sink.lost().events), (1, 2));
    });
}

/// Lost or not, and strangers by themselves.
#[test]
fn refusals_are_counted_by_reason() {
    sample("sink for 0, counted by reason", || {
        let (sink, _receivers) = sink(0);
        let senders = [0, 1].map(|sender| {
            let sink = sink.clone();
            thread::spawn(move || {
                [Refused, Stranger, Stranger].into_iter().for_each(|kind| kind.tell(&sink, Sent(sender, 0)));
            })
        });
        senders.into_iter().for_each(|sender| sender.join().unwrap());
        let of = |counts: Vec<(RefusalReason, u64)>| counts.into_iter().find(|(_, count)| *count > 0).unwrap();
        assert_eq!(of(sink.refused().collect()), (RefusalReason::SERVICE_RULE, 2));
        assert_eq!(of(sink.strangers().collect()), (RefusalReason::SERVICE_RULE, 4));
    });
}

/// Of each key the latest touch is taken, however often they are; one that has no room is counted.
fn run_touches(capacity: u16, keys: [&'static [u8]; 2]) {
    let (sink, receivers) = sink(capacity);
    let taker = thread::spawn(move || {
        let taken = receivers.touches.take();
        (taken, receivers)
    });
    let senders = [0, 1].map(|sender: u8| {
        let sink = sink.clone();
        thread::spawn(move || {
            // No two of the touches are at the same time.
            let times = (i64::from(sender)..).step_by(2);
            let tell = |(time, key): (i64, u8)| {
                let touch = Touch::new(id(key), SecretSlot::Current, UnixTime::from_secs(time));
                sink.tell(Message::Touch(touch));
                touch
            };
            iter::zip(times, keys[usize::from(sender)].iter().copied()).map(tell).collect::<Vec<_>>()
        })
    });
    let told = senders.map(|sender| sender.join().unwrap()).concat();
    let (mut taken, receivers) = taker.join().unwrap();
    taken.extend(receivers.touches.take());
    let lost = sink.lost().touches;

    assert!(taken.iter().all(|touch| told.contains(touch)), "nobody told of one of {taken:?}");
    let mut latest = HashMap::new();
    for touch in &taken {
        let latest = latest.entry(touch.id).or_insert(touch.used_at);
        *latest = touch.used_at.max(*latest);
    }
    let missing = told.iter().filter(|touch| latest.get(&touch.id).is_none_or(|latest| *latest < touch.used_at));
    assert!(count(missing) <= lost, "neither taken nor counted: {told:?}, of which {taken:?} were taken, {lost} lost");
    // Each key takes one place, and there are as many as there is room for.
    let keys: std::collections::HashSet<_> = told.iter().map(|touch| touch.id).collect();
    assert!(lost == 0 || keys.len() > capacity.into(), "there was room for all of {keys:?}");
    assert!(lost + count(taken.iter()) <= count(told.iter()), "counted, and taken as well");
}

#[test]
fn each_touch_is_taken_or_counted() {
    exhaust("touches of 1 key, 2 of them", || run_touches(1, [&[0], &[0]]));
    exhaust("touches of 2 keys with room for 1", || run_touches(1, [&[0], &[1]]));
    sample("touches of 2 keys with room for 1, 4 of them", || run_touches(1, [&[0, 1], &[1, 0]]));
    sample("touches of 2 keys with room for 2, 6 of them", || run_touches(2, [&[0, 1, 0], &[1, 0, 1]]));
    sample("touches with room for none", || run_touches(0, [&[0], &[1]]));
}
