//! The outbox: each note is delivered or counted, whatever comes in between; few notes in every order there is.

use std::{error::Error, fmt, iter};

use keygate::{Event, KeyId, Principal, UnixTime};
use keygate_model::{
    exhaust, sample,
    sink::{AuditSink, ChannelSink, Message, channel_sink},
};
use shuttle::thread;

use Kind::{Failed, Refused, Touch};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Failed,
    Refused,
    Touch,
}

impl Kind {
    fn tell(self, outbox: &ChannelSink, Sent(sender, number): Sent) {
        let (key, at) = (id(sender), UnixTime::from_secs(number));
        match self {
            Failed => outbox.failed(&Down(sender, number)),
            Refused => outbox.refused(Event::refused(at, Principal::Unverified { claimed: Some(key) }, "expired")),
            Touch => outbox.touch(key, at),
        }
    }

    fn dropped(self, outbox: &ChannelSink) -> u64 {
        match self {
            Failed => outbox.dropped_failures(),
            Refused => outbox.dropped_refusals(),
            Touch => outbox.dropped_touches(),
        }
    }
}

/// Who sent a note, and which of theirs it is.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
struct Sent(u8, i64);

fn id(sender: u8) -> KeyId {
    format!("sender{sender:010}").parse().unwrap()
}

#[derive(Debug)]
struct Down(u8, i64);

impl fmt::Display for Down {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0, self.1)
    }
}

impl Error for Down {}

fn read(note: &Message) -> (Kind, Sent) {
    let of = |key: KeyId, at: UnixTime| Sent(u8::from(key == id(1)), at.as_secs());
    match note {
        Message::Touch { key, used_at } => (Touch, of(*key, *used_at)),
        Message::Refused(Event { at, by: Principal::Unverified { claimed: Some(key) }, .. }) => {
            (Refused, of(*key, *at))
        }
        Message::Failed(text) => {
            let (sender, number) = text.split_once(' ').unwrap();
            (Failed, Sent(sender.parse().unwrap(), number.parse().unwrap()))
        }
        other => panic!("nobody sent {other:?}"),
    }
}

const ALL: usize = usize::MAX;

/// Two senders of so many notes, and a receiver that takes so many and then goes.
fn run(capacity: usize, kinds: [&'static [Kind]; 2], takes: usize) {
    let (outbox, notes) = channel_sink(capacity);
    let receiver = thread::spawn(move || notes.iter().take(takes).map(|note| read(&note)).collect::<Vec<_>>());
    let senders = [0, 1].map(|sender| {
        let outbox = outbox.clone();
        thread::spawn(move || {
            let tell = |(number, kind): (i64, Kind)| {
                kind.tell(&outbox, Sent(sender, number));
                (kind, Sent(sender, number), kind.dropped(&outbox))
            };
            iter::zip(1.., kinds[usize::from(sender)].iter().copied()).map(tell).collect::<Vec<_>>()
        })
    });
    let told = senders.map(|sender| sender.join().unwrap());
    let dropped = [Failed, Refused, Touch].map(|kind| (kind, kind.dropped(&outbox)));
    drop(outbox);
    let delivered = receiver.join().unwrap();

    // What waits when the receiver goes is gone with it, and nobody can say what it was.
    let stays = takes == ALL;
    let is_lost = |kind: Kind, sent: Sent| !delivered.contains(&(kind, sent));
    let mut unknown = 0;
    for (of_kind, dropped) in dropped {
        let lost =
            told.iter().flatten().filter(|(kind, sent, _)| *kind == of_kind && is_lost(*kind, *sent)).count() as u64;
        assert!(dropped <= lost, "counted, and delivered as well: {delivered:?}");
        unknown += lost - dropped;
    }
    assert!(unknown <= if stays { 0 } else { capacity as u64 }, "neither delivered nor counted: {delivered:?}");
    for told in &told {
        let places =
            told.iter().filter_map(|(kind, sent, _)| delivered.iter().position(|note| *note == (*kind, *sent)));
        assert!(places.is_sorted(), "out of order: {delivered:?}");
        for (place, (of_kind, _, counted)) in told.iter().enumerate() {
            let own =
                told[..=place].iter().filter(|(kind, sent, _)| kind == of_kind && is_lost(*kind, *sent)).count() as u64;
            assert!(!stays || own <= *counted, "counted after the sender was told that it can go on");
            assert!(dropped.iter().all(|(kind, dropped)| kind != of_kind || counted <= dropped), "a count went down");
        }
    }
    assert_eq!(
        delivered.len(),
        told.iter().flatten().filter(|(kind, sent, _)| !is_lost(*kind, *sent)).count(),
        "twice"
    );
}

#[test]
fn each_note_is_delivered_or_counted() {
    exhaust("outbox for 1, 2 notes", || run(1, [&[Touch], &[Touch]], ALL));
    for capacity in 0..=2 {
        sample(&format!("outbox for {capacity}, 4 notes"), move || run(capacity, [&[Touch; 2], &[Touch; 2]], ALL));
    }
}

#[test]
#[ignore = "a minute"]
fn each_of_three_notes_is_delivered_or_counted() {
    exhaust("outbox for 0, 2 notes", || run(0, [&[Touch], &[Touch]], ALL));
    exhaust("outbox for 1, 3 notes", || run(1, [&[Touch, Touch], &[Touch]], ALL));
}

#[test]
fn each_kind_has_a_count_of_its_own() {
    sample("outbox for 1, 3 kinds of notes", || run(1, [&[Touch, Refused], &[Failed, Touch]], ALL));
}

#[test]
fn what_nobody_takes_is_counted() {
    exhaust("outbox for 1, none taken", || run(1, [&[Touch], &[Touch]], 0));
    sample("outbox for 1, one taken", || run(1, [&[Touch; 2], &[Touch; 2]], 1));
}

#[test]
fn nobody_waits_for_a_receiver() {
    sample("outbox for 1, taken when all is told", || {
        let (outbox, notes) = channel_sink(1);
        let sender = outbox.clone();
        thread::spawn(move || (0..3).for_each(|number| Touch.tell(&sender, Sent(0, number)))).join().unwrap();
        assert_eq!((notes.try_iter().count(), outbox.dropped_touches()), (1, 2));
    });
}
