//! The rules of the contract, by name.

use core::fmt;

macro_rules! rules {
    ($($name:ident = $text:literal: $contract:literal;)*) => {
        /// A rule of the contract that a store can break.
        ///
        /// ```
        /// use keygate::store::conformance::Rule;
        /// assert_eq!(Rule::RevokeWins.to_string(), "revoke_wins");
        /// assert!(Rule::ALL.iter().all(|rule| rule.contract().ends_with('.')));
        /// ```
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        #[non_exhaustive]
        pub enum Rule {
            $(#[doc = $contract] $name,)*
        }

        impl Rule {
            /// Every rule, in the order in which they are explained.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Returns the name used in reports.
            ///
            /// ```
            /// use keygate::store::conformance::Rule;
            /// assert_eq!(Rule::NameTaken.as_str(), "name_taken");
            /// ```
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// Returns what the contract demands, in a sentence.
            ///
            /// ```
            /// use keygate::store::conformance::Rule;
            /// assert_eq!(Rule::FindAbsent.contract(), "`find` answers `None` for an id that is not stored.");
            /// ```
            #[must_use]
            pub const fn contract(self) -> &'static str {
                match self {
                    $(Self::$name => $contract,)*
                }
            }
        }
    };
}

rules! {
    NoFailure = "no_failure":
        "Every operation answers; an outer error or a panic is no answer.";
    FindAbsent = "find_absent":
        "`find` answers `None` for an id that is not stored.";
    FindSeesAcknowledged = "find_sees_acknowledged":
        "A `find` that starts after a change was acknowledged sees the change.";
    RoundTrip = "round_trip":
        "A record is found and listed as it was inserted and changed, in every column.";
    ScopesKept = "scopes_kept":
        "The names in a scope stay as they were granted, whether or not anything of that name exists.";
    LabelsKept = "labels_kept":
        "Labels are found and listed as they were inserted or set, empty values included.";
    IdsByteByByte = "ids_byte_by_byte":
        "Ids of keys, users and teams are compared byte by byte.";
    OwnersByKind = "owners_by_kind":
        "A user and a team of one id are two owners.";
    IdTaken = "id_taken":
        "Inserting an id that exists answers `IdTaken` and replaces nothing.";
    NameTaken = "name_taken":
        "A name that another key of the owner has, unless that is revoked, answers `NameTaken` and changes nothing.";
    NameFree = "name_free":
        "A name is free if only keys of other owners, revoked keys or the renamed key itself have it.";
    ChangeAbsent = "change_absent":
        "A change of a key that is not stored answers `Absent`, and neither it nor a touch stores anything.";
    AnswerByStatus = "answer_by_status":
        "The answer to a change follows from the status of the key, as the table of `KeyManagementStore` says.";
    UnchangedAnswersStored = "unchanged_answers_stored":
        "A change that changes nothing answers with the record as it is stored now.";
    NothingElseChanges = "nothing_else_changes":
        "A change alters what it is named for and nothing else, and a refused one nothing at all.";
    RevokedIsFinal = "revoked_is_final":
        "A change of a revoked key answers `Revoked`, and neither it nor a touch changes anything.";
    FirstRevocationKept = "first_revocation_kept":
        "Revoking again keeps and answers the time and the cause of the first revocation.";
    TouchForward = "touch_forward":
        "`touch` never moves the last use backwards.";
    TouchNotPastNow = "touch_not_past_now":
        "`touch` never moves the last use past `now`.";
    TouchSlot = "touch_slot":
        "A touch of the previous secret moves its last use and that of the key, any other one only that of the key.";
    TouchBatch = "touch_batch":
        "Of many touches at once each is applied, whatever the others are of.";
    RotateExpected = "rotate_expected":
        "A rotation answers `Changed`, and changes nothing, unless the current digest is the expected one.";
    RotatePrevious = "rotate_previous":
        "A rotation clears or sets the previous secret as it is asked to.";
    RotateKeepsStored = "rotate_keeps_stored":
        "A rotation that keeps the previous secret leaves it as stored, and answers `Changed` if there is none.";
    ListMembers = "list_members":
        "`list` gives the keys asked for, of all, of an owner or of a creator, revoked ones included, and no others.";
    ListFilter = "list_filter":
        "`list` gives the keys that meet every condition of the filter, and no others.";
    ListOrder = "list_order":
        "`list` goes by creation time and then by the bytes of the id.";
    ListOnce = "list_once":
        "A walk over the pages ends, and sees each key that is on the list all the while exactly once.";
    PageLimit = "page_limit":
        "A page holds no more records than its limit.";
    PageNext = "page_next":
        "A page names the place after its last record if more follow, and none if it is the last.";
    RevokeAllExact = "revoke_all_exact":
        "`revoke_all` revokes keys of one owner that are not revoked, and no others, and answers their ids in order.";
    RevokeAllLimit = "revoke_all_limit":
        "A step of `revoke_all` revokes no more keys than its limit.";
    RevokeAllMore = "revoke_all_more":
        "A step of `revoke_all` says whether keys are left, and revokes one at least where there are any.";
    RevokeAllOneStep = "revoke_all_one_step":
        "A step of `revoke_all` is atomic: the ids it answers are those that it revoked, all at once.";
    RevokeWins = "revoke_wins":
        "No change that runs at the same time brings a revoked key back.";
    OneRevocation = "one_revocation":
        "Of revocations at the same time one is done, and the others are answered with what it stored.";
    OneRotationWins = "one_rotation_wins":
        "Of rotations at the same time with one expected digest exactly one is done.";
    OneIdWins = "one_id_wins":
        "Of inserts at the same time with one id exactly one is done.";
    OneNameWins = "one_name_wins":
        "Of inserts and renames at the same time to one name of one owner exactly one is done.";
    NoLostChange = "no_lost_change":
        "Changes of different parts of a key at the same time all last.";
    ChangeWithoutEvent = "change_without_event":
        "A change that took place has its event, even if its caller stopped waiting.";
    EventWithoutChange = "event_without_change":
        "An event is there only if its change took place, even if its caller stopped waiting.";
    EventForNothing = "event_for_nothing":
        "What is refused, changes nothing, or is a touch has no event.";
    EventAsCompleted = "event_as_completed":
        "An event is kept, or handed back, as the library completed it: id, time, actor, key, owner and kind.";
    EventOnce = "event_once":
        "No event is there twice, nor both in the log and handed back.";
    FeedUnknownRevision = "feed_unknown_revision":
        "Asked without a revision, or with one of another life or of the future, a feed answers `Everything`.";
    FeedTooOld = "feed_too_old":
        "Asked with a revision that is too old for its list, a feed answers `Everything`.";
    FeedListsChanges = "feed_lists_changes":
        "A feed lists each change that was acknowledged since the revision, and gives a later revision.";
    FeedListsNothingElse = "feed_lists_nothing_else":
        "A feed lists the keys that changed since the revision, and no others.";
    FeedWithChange = "feed_with_change":
        "A change whose caller stopped waiting is in the feed if it took place.";
    TouchMovesNoRevision = "touch_moves_no_revision":
        "A touch does not move the revision, and is not in the feed.";
    LateCommitListed = "late_commit_listed":
        "No change is missed: one that commits late is listed after a revision from before its commit.";
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
