//! What can be set about credentials.

use std::path::PathBuf;
use std::sync::Arc;

use sawyer_config::{At, Problems, Secret, kinds, settings};
use sawyer_telemetry::Clock;

use super::aws::{CredentialsSource, Environment, FixedCredentials, SigV4};
use super::{Authorize, CurrentSecret, Header};

kinds! {
    /// How Sawyer says who it is.
    pub enum AuthSettings: "auth" {
        /// A user and a password.
        Basic(BasicSettings) = "basic",
        /// A token, such as a service account's.
        Bearer(BearerSettings) = "bearer",
        /// An API key of Elasticsearch.
        ApiKey(ApiKeySettings) = "api_key",
        /// AWS Signature Version 4.
        Aws(AwsSettings) = "aws",
    }
}

settings! {
    /// A user and a password.
    pub struct BasicSettings {
        /// The user.
        pub user: String,
        /// The password; better `password_file`, or `${NAME}` from the environment.
        pub password: Option<Secret>,
        /// A file with the password in it, which is read again when it changes.
        pub password_file: Option<PathBuf>,
    }

    /// A token.
    pub struct BearerSettings {
        /// The token; better `token_file`, or `${NAME}` from the environment.
        pub token: Option<Secret>,
        /// A file with the token in it, which is read again when it changes.
        pub token_file: Option<PathBuf>,
    }

    /// An API key of Elasticsearch.
    pub struct ApiKeySettings {
        /// The key, in its encoded form or as `id:key`; better `key_file`, or `${NAME}` from the environment.
        pub key: Option<Secret>,
        /// A file with the key in it, which is read again when it changes.
        pub key_file: Option<PathBuf>,
    }

    /// AWS Signature Version 4. Without keys here, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and
    /// `AWS_SESSION_TOKEN` of the environment are used.
    pub struct AwsSettings {
        /// The region, such as `ap-northeast-2`; else `AWS_REGION` of the environment.
        pub region: Option<String>,
        /// The service that is asked: `es` for OpenSearch Service, `aoss` for OpenSearch Serverless.
        pub service: String = "es".to_owned(),
        /// The id of an access key.
        pub access_key_id: Option<String>,
        /// The access key; better from the environment.
        pub secret_access_key: Option<Secret>,
    }
}

/// How requests are authorized, checked.
#[derive(Debug)]
pub enum AuthPlan {
    /// A header with a secret.
    #[doc(hidden)]
    Header(HeaderPlan),
    /// A signature.
    Aws(AwsSettings),
}

/// A header with a secret, checked.
#[derive(Debug)]
pub struct HeaderPlan(Header);

impl AuthSettings {
    /// Checks what the settings say together. `at` is where they stand.
    pub fn check(self, at: &At<'_>, problems: &mut Problems) -> Option<AuthPlan> {
        let header = match self {
            Self::Basic(BasicSettings { user, password, password_file }) => {
                Header::Basic(user, one_of(password, password_file, "password", at, problems)?)
            }
            Self::Bearer(BearerSettings { token, token_file }) => {
                Header::Token("Bearer", one_of(token, token_file, "token", at, problems)?)
            }
            Self::ApiKey(ApiKeySettings { key, key_file }) => {
                Header::ApiKey(one_of(key, key_file, "key", at, problems)?)
            }
            Self::Aws(aws) => {
                if aws.access_key_id.is_some() != aws.secret_access_key.is_some() {
                    problems.push(at, "expected both `access_key_id` and `secret_access_key`, or neither");
                    return None;
                }
                return Some(AuthPlan::Aws(aws));
            }
        };
        Some(AuthPlan::Header(HeaderPlan(header)))
    }
}

fn one_of(
    secret: Option<Secret>,
    file: Option<PathBuf>,
    name: &str,
    at: &At<'_>,
    problems: &mut Problems,
) -> Option<CurrentSecret> {
    match (secret, file) {
        (Some(secret), None) => Some(CurrentSecret::fixed(secret)),
        (None, Some(file)) => Some(CurrentSecret::file(file)),
        _ => {
            problems.push(at, format!("expected either `{name}` or `{name}_file`"));
            None
        }
    }
}

impl AuthPlan {
    /// What authorizes requests.
    ///
    /// # Errors
    /// If something that the environment should say is missing.
    pub fn open(self, clock: Clock) -> Result<Arc<dyn Authorize>, sawyer_model::Error> {
        Ok(match self {
            Self::Header(HeaderPlan(header)) => Arc::new(header),
            Self::Aws(AwsSettings { region, service, access_key_id, secret_access_key }) => {
                let region = Environment::region(region)?;
                let source: Arc<dyn CredentialsSource> = match access_key_id.zip(secret_access_key) {
                    Some((id, key)) => Arc::new(FixedCredentials::new(id, key)),
                    None => Arc::new(Environment),
                };
                Arc::new(SigV4::new(region, service, source, clock))
            }
        })
    }
}
