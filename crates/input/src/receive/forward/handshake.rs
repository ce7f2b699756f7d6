//! Who a client is that shows what it knows without saying it.
//!
//! Owns: digests, and whether they are right. Does not own: the messages' form (`codec::forward`).
//! Invariant: digests are compared in a time that does not tell how much of them is right.

use std::io;
use std::sync::Arc;

use ring::digest::{Context, SHA512};
use sawyer_codec::forward::{Ping, helo, pong};
use sawyer_config::Secret;

use super::super::clients::{Client, Clients};
use crate::native::is_same;
use crate::random;

/// What a connection was greeted with.
pub(super) struct Hello {
    nonce: [u8; 16],
    /// Empty if no user has to be named.
    auth_salt: Vec<u8>,
}

/// The client is not known.
#[derive(Debug)]
pub(super) struct Unknown;

impl Hello {
    /// Another one for each connection; with `users` a client has to show a user and a password too.
    pub(super) fn new(users: bool) -> io::Result<Self> {
        let nonce = random::source()?.0.to_le_bytes();
        let auth_salt = if users { random::source()?.0.to_le_bytes().to_vec() } else { Vec::new() };
        Ok(Self { nonce, auth_salt })
    }

    pub(super) fn message(&self) -> Vec<u8> {
        helo(&self.nonce, &self.auth_salt)
    }

    /// Whose answer this is, and the key that it was made with.
    pub(super) async fn judge(
        &self,
        ping: &Ping<'_>,
        clients: &Clients,
        shared_key: Option<&Secret>,
    ) -> Result<(Arc<Client>, Secret), Unknown> {
        let digest = |key: &Secret| digest(&[ping.salt, ping.hostname, &self.nonce, key.expose().as_bytes()]);
        let mut found = None;
        for client in clients.known() {
            let (tokens, _) = client.tokens().await;
            for token in tokens {
                let same = match shared_key {
                    None => is_same(digest(&token).as_bytes(), ping.digest),
                    Some(key) => {
                        let password = super::handshake::digest(&[
                            &self.auth_salt,
                            ping.user,
                            token.expose().as_bytes(),
                        ]);
                        is_same(digest(key).as_bytes(), ping.digest)
                            & is_same(client.name().as_bytes(), ping.user)
                            & is_same(password.as_bytes(), ping.password_digest)
                    }
                };
                if same {
                    found = Some((Arc::clone(client), shared_key.unwrap_or(&token).clone()));
                }
            }
        }
        found.ok_or(Unknown)
    }

    /// What the client is told.
    pub(super) fn pong(
        &self,
        ping: &Ping<'_>,
        judged: Result<&(Arc<Client>, Secret), &Unknown>,
        hostname: &str,
    ) -> Vec<u8> {
        match judged {
            Ok((_, key)) => {
                let digest = digest(&[ping.salt, hostname.as_bytes(), &self.nonce, key.expose().as_bytes()]);
                pong(Ok(()), hostname, &digest)
            }
            Err(Unknown) => pong(Err("shared key, user or password mismatch"), hostname, ""),
        }
    }
}

/// SHA-512 of these one after the other, in hexadecimal digits.
pub(super) fn digest(parts: &[&[u8]]) -> String {
    let mut context = Context::new(&SHA512);
    for part in parts {
        context.update(part);
    }
    context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
