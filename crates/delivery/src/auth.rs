//! How a request says who it comes from.
//!
//! Owns: [`Authorize`], the ways that settings can name, secrets that are read again when they change.
//! Does not own: what is asked for.
//! Invariant: no secret is ever in a message.

pub mod aws;

mod secret;
mod settings;

use reqwest::header::{AUTHORIZATION, HeaderValue};
use sawyer_model::{Error, ErrorKind};

use crate::http::Request;
use crate::letters::Promise;

pub use secret::CurrentSecret;
pub use settings::{
    ApiKeySettings, AssumeRoleSettings, AuthPlan, AuthSettings, AwsSettings, BasicSettings, BearerSettings,
    one_of,
};

/// Adds to a request what says who it comes from.
pub trait Authorize: Send + Sync {
    /// Adds headers; the request does not change any more after it.
    ///
    /// # Errors
    /// If the credentials cannot be had right now.
    fn authorize<'a>(&'a self, request: &'a mut Request) -> Promise<'a, Result<(), Error>>;
}

/// The header `Authorization` with a secret in it.
#[derive(Debug)]
pub(crate) enum Header {
    /// A user and a password (RFC 7617).
    Basic(String, CurrentSecret),
    /// A word such as `Bearer`, and a token.
    Token(&'static str, CurrentSecret),
    /// `ApiKey`, as Elasticsearch has it: the secret is the encoded form, or `id:key`.
    ApiKey(CurrentSecret),
}

impl Header {
    async fn value(&self) -> Result<String, Error> {
        Ok(match self {
            Self::Basic(user, password) => {
                format!("Basic {}", encode(&format!("{user}:{}", password.current().await?.expose())))
            }
            Self::Token(word, token) => format!("{word} {}", token.current().await?.expose()),
            Self::ApiKey(key) => match key.current().await?.expose() {
                plain if plain.contains(':') => format!("ApiKey {}", encode(plain)),
                encoded => format!("ApiKey {encoded}"),
            },
        })
    }
}

impl Authorize for Header {
    fn authorize<'a>(&'a self, request: &'a mut Request) -> Promise<'a, Result<(), Error>> {
        Box::pin(async move {
            let value = HeaderValue::try_from(self.value().await?);
            // The error names the value, so it does not become a cause.
            let mut value = value.map_err(|_| {
                Error::new(ErrorKind::Invalid, "a secret has characters that cannot stand in a header")
            })?;
            value.set_sensitive(true);
            request.headers.insert(AUTHORIZATION, value);
            Ok(())
        })
    }
}

fn encode(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

#[cfg(test)]
mod tests {
    use sawyer_config::Secret;

    use super::*;

    async fn value(header: Header) -> String {
        header.value().await.unwrap()
    }

    fn secret(text: &str) -> CurrentSecret {
        CurrentSecret::fixed(Secret::new(text))
    }

    #[tokio::test]
    async fn headers_as_targets_expect_them() {
        let basic = Header::Basic("elastic".to_owned(), secret("pass:word"));
        assert_eq!(value(basic).await, "Basic ZWxhc3RpYzpwYXNzOndvcmQ=");
        assert_eq!(value(Header::Token("Bearer", secret("abc"))).await, "Bearer abc");
        assert_eq!(value(Header::ApiKey(secret("id:key"))).await, "ApiKey aWQ6a2V5");
        assert_eq!(value(Header::ApiKey(secret("aWQ6a2V5"))).await, "ApiKey aWQ6a2V5");
    }

    #[tokio::test]
    async fn a_secret_that_no_header_can_hold_is_not_told() {
        let mut request = Request {
            method: reqwest::Method::GET,
            url: "http://logs/".parse().unwrap(),
            headers: Default::default(),
            body: Default::default(),
        };
        let header = Header::Token("Bearer", secret("top\nsecret"));
        let error = header.authorize(&mut request).await.unwrap_err();
        assert_eq!(error.chain(), "a secret has characters that cannot stand in a header");
        assert_eq!(format!("{header:?}"), r#"Token("Bearer", Fixed((hidden)))"#);
    }
}
