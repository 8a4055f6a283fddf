//! A service's own actions: their names, and the one declaration that lists them.

use alloc::sync::Arc;
use core::str::FromStr;

use crate::{
    name::{copy, is_equal},
    text::{Grammar, InvalidText, SymbolTest, TextRule, text_conversions},
};

/// The name of an action that a custom key lists: a built-in one, or an own action of the service.
///
/// An own action is two or more parts of `[a-z0-9_-]+` joined by `:`, the first of which begins with a letter, and has
/// at most 64 bytes. There is no wildcard. The built-in ones are `call`, `deploy`, `export_metrics` and `manage`.
///
/// ```
/// use keygate::{ActionName, TextRule};
///
/// let name: ActionName = "projects:read".parse()?;
/// assert!(!name.is_built_in());
/// assert!("call".parse::<ActionName>()?.is_built_in());
/// assert_eq!("projects".parse::<ActionName>().unwrap_err().rule(), TextRule::Edge);
/// assert!("projects:*".parse::<ActionName>().is_err());
/// # Ok::<(), keygate::InvalidText>(())
/// ```
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ActionName(Arc<str>);

impl ActionName {
    const GRAMMAR: &'static Grammar = &Grammar {
        what: "an action name",
        min: 1,
        max: MAX_LENGTH,
        symbols: "lower-case letters, digits, `_`, `-` and `:`",
        is_symbol: SymbolTest::Action,
        edges: "is a built-in action, or two or more parts joined by `:`, the first of which begins with a letter",
        is_first: SymbolTest::Lowercase,
        is_last: SymbolTest::Action,
    };

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns `true` if it is the name of an action that every service has.
    #[must_use]
    pub fn is_built_in(&self) -> bool {
        is_built_in(self.as_str())
    }
}

impl FromStr for ActionName {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        if is_built_in(text) {
            return Ok(Self(text.into()));
        }
        check_own(text)?;
        Ok(Self(text.into()))
    }
}

impl AsRef<str> for ActionName {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

text_conversions!(ActionName);

pub(crate) const CALL: &str = "call";
pub(crate) const DEPLOY: &str = "deploy";
pub(crate) const EXPORT_METRICS: &str = "export_metrics";
pub(crate) const MANAGE: &str = "manage";

fn is_built_in(text: &str) -> bool {
    matches!(text, CALL | DEPLOY | EXPORT_METRICS | MANAGE)
}

/// Checks the name of an own action; a `const fn`, so that a declaration is checked by the compiler.
const fn check_own(text: &str) -> Result<(), InvalidText> {
    if let Err(error) = ActionName::GRAMMAR.check(text) {
        return Err(error);
    }
    // The grammar leaves open whether there are two parts, and whether one is empty.
    let (mut rest, mut colons, mut is_part_empty) = (text.as_bytes(), 0_u8, true);
    while let [symbol, tail @ ..] = rest {
        if *symbol == b':' {
            if is_part_empty {
                return Err(InvalidText::new(ActionName::GRAMMAR, TextRule::Edge));
            }
            colons = 1;
        }
        is_part_empty = *symbol == b':';
        rest = tail;
    }
    if colons == 0 || is_part_empty {
        return Err(InvalidText::new(ActionName::GRAMMAR, TextRule::Edge));
    }
    Ok(())
}

/// Whether the keys that a service has already issued cover a new own action.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Coverage {
    /// Only a custom key that lists it: for actions that existing keys must not get.
    Explicit,
    /// Also keys with full access, and personal keys.
    Ordinary,
}

/// An own action of the service, out of its [declaration](OwnActions).
///
/// There is no other way to make one, so its coverage is declared in one place, and a handler does not repeat it:
///
/// ```compile_fail
/// use keygate::{Coverage, OwnAction};
/// const PAY: OwnAction = OwnAction { name: "billing:write", coverage: Coverage::Ordinary };
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct OwnAction {
    // INVARIANT: `name[..length]` is a checked name, the rest is zero. Not on the heap, so that a `const` can hold it.
    name: [u8; MAX_LENGTH],
    length: u8,
    coverage: Coverage,
}

const MAX_LENGTH: usize = 64;

impl OwnAction {
    const fn checked(text: &str, coverage: Coverage) -> Self {
        let mut name = [0; MAX_LENGTH];
        copy(text.as_bytes(), &mut name);
        Self { name, length: text.len() as u8, coverage }
    }

    const fn as_bytes(&self) -> &[u8] {
        match self.name.split_at_checked(self.length as usize) {
            Some((name, _)) => name,
            None => &self.name,
        }
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        // INVARIANT: ASCII by construction, so the default is never taken.
        core::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// Returns the keys that cover the action without listing it.
    #[must_use]
    pub const fn coverage(&self) -> Coverage {
        self.coverage
    }
}

/// The declaration of all own actions of a service; the compiler checks it.
///
/// ```
/// use keygate::{Coverage, OwnAction, OwnActions};
///
/// const ACTIONS: OwnActions = OwnActions::new(&[
///     ("projects:read", Coverage::Ordinary),
///     ("billing:write", Coverage::Explicit),
/// ]);
/// const READ: OwnAction = ACTIONS.named("projects:read");
/// assert_eq!(READ.coverage(), Coverage::Ordinary);
///
/// // A name that comes as text is looked up in the declaration.
/// let action = ACTIONS.find(&"billing:write".parse()?).ok_or("it is declared")?;
/// assert_eq!(action.coverage(), Coverage::Explicit);
/// assert_eq!(ACTIONS.find(&"billing:read".parse()?), None);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
///
/// A name that is undeclared, declared twice or malformed does not compile:
///
/// ```compile_fail
/// use keygate::{Coverage, OwnAction, OwnActions};
/// const ACTIONS: OwnActions = OwnActions::new(&[("projects:read", Coverage::Ordinary)]);
/// const WRITE: OwnAction = ACTIONS.named("projects:write");
/// ```
///
/// ```compile_fail
/// use keygate::{Coverage, OwnActions};
/// const ACTIONS: OwnActions =
///     OwnActions::new(&[("projects:read", Coverage::Ordinary), ("projects:read", Coverage::Explicit)]);
/// ```
///
/// ```compile_fail
/// use keygate::{Coverage, OwnActions};
/// const ACTIONS: OwnActions = OwnActions::new(&[("projects:*", Coverage::Ordinary)]);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct OwnActions(Declared);

#[derive(Clone, Copy, Debug)]
enum Declared {
    EveryOrdinary,
    Listed(&'static [(&'static str, Coverage)]),
}

impl OwnActions {
    /// No own actions, as for a service that declares none.
    pub const NONE: Self = Self(Declared::Listed(&[]));

    /// Every well-formed name is an ordinary action; for drivers and tests, not for services.
    pub const EVERY_ORDINARY: Self = Self(Declared::EveryOrdinary);

    /// Declares the actions, each with the keys that cover it.
    ///
    /// # Panics
    ///
    /// If a name is not one of an own action, or is declared twice; in a `const`, that is an error of compilation.
    #[must_use]
    pub const fn new(actions: &'static [(&'static str, Coverage)]) -> Self {
        let mut rest = actions;
        while let [(first, _), tail @ ..] = rest {
            assert!(check_own(first).is_ok(), "{}", NOT_A_NAME);
            let mut others = tail;
            while let [(other, _), tail @ ..] = others {
                assert!(!is_equal(first.as_bytes(), other.as_bytes()), "an own action is declared twice");
                others = tail;
            }
            rest = tail;
        }
        Self(Declared::Listed(actions))
    }

    /// Returns the declared action of this name, for a constant.
    ///
    /// # Panics
    ///
    /// If it is not declared; in a `const`, that is an error of compilation. [`OwnActions::find`] is for a name that
    /// comes as text.
    #[must_use]
    pub const fn named(self, name: &str) -> OwnAction {
        let mut rest = match self.0 {
            Declared::Listed(actions) => actions,
            Declared::EveryOrdinary => {
                assert!(check_own(name).is_ok(), "{}", NOT_A_NAME);
                return OwnAction::checked(name, Coverage::Ordinary);
            }
        };
        while let [(declared, coverage), tail @ ..] = rest {
            if is_equal(declared.as_bytes(), name.as_bytes()) {
                return OwnAction::checked(declared, *coverage);
            }
            rest = tail;
        }
        #[expect(clippy::panic, reason = "meant for literals, where it is an error of compilation")]
        {
            panic!("the own action is not declared");
        }
    }

    /// Returns the declared action of this name; a built-in action is not an own one.
    #[must_use]
    pub fn find(&self, name: &ActionName) -> Option<OwnAction> {
        match self.0 {
            Declared::Listed(_) => self.iter().find(|action| action.name() == name.as_str()),
            Declared::EveryOrdinary if name.is_built_in() => None,
            Declared::EveryOrdinary => Some(OwnAction::checked(name.as_str(), Coverage::Ordinary)),
        }
    }

    /// Returns the declared actions in their order; none for [`OwnActions::EVERY_ORDINARY`], which has no list.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = OwnAction> + use<> {
        let actions = match self.0 {
            Declared::Listed(actions) => actions,
            Declared::EveryOrdinary => &[],
        };
        actions.iter().map(|(name, coverage)| OwnAction::checked(name, *coverage))
    }
}

const NOT_A_NAME: &str =
    "an own action is two or more parts of `[a-z0-9_-]+` joined by `:`, the first begins with a letter";
