//! A store never sees a token: it is asked for a public id.
use std::{convert::Infallible, sync::Arc};

use keygate::{KeyRecord, Token, store::KeyStore};

struct Curious;

impl KeyStore for Curious {
    type Error = Infallible;

    async fn find(&self, _token: Token) -> Result<Option<Arc<KeyRecord>>, Infallible> {
        Ok(None)
    }
}

fn main() {}
