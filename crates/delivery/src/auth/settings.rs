//! What can be set about credentials.

use std::path::PathBuf;
use std::sync::Arc;

use sawyer_config::{At, Problems, Secret, kinds, settings};
use sawyer_telemetry::Clock;

use super::aws::{self, AssumedBy, Credentials, CredentialsSource, SigV4, Surroundings};
use super::{Authorize, CurrentSecret, Header};

/// The service that is asked unless the settings or the output say another.
const SERVICE_USUAL: &str = "es";

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

    /// AWS Signature Version 4. Without keys here, credentials are looked for where AWS's own programs look: the
    /// environment, a web identity (IRSA), a profile, the container's agent (EKS Pod Identity, ECS), the machine's role
    /// (EC2 instance metadata, version 2).
    pub struct AwsSettings {
        /// The region, such as `ap-northeast-2`; else `AWS_REGION` of the environment, else the profile's.
        pub region: Option<String>,
        /// The service that is asked, where an output may ask several: `es` (the default) for OpenSearch Service, `aoss`
        /// for OpenSearch Serverless.
        pub service: Option<String>,
        /// The id of an access key.
        pub access_key_id: Option<String>,
        /// The access key; better from the environment.
        pub secret_access_key: Option<Secret>,
        /// The token that temporary credentials have beside the key.
        pub session_token: Option<Secret>,
        /// A profile of `~/.aws/credentials` and `~/.aws/config` to use, and no other source.
        pub profile: Option<String>,
        /// A role to assume with these credentials, such as one of another account.
        pub assume_role: Option<AssumeRoleSettings>,
    }

    /// A role of AWS to assume.
    pub struct AssumeRoleSettings {
        /// The role, such as `arn:aws:iam::123456789012:role/logs`.
        pub role_arn: String,
        /// The external id that the role's owner asks for.
        pub external_id: Option<Secret>,
        /// The name of the session, as it stands in AWS's own logs.
        pub session_name: String = "sawyer".to_owned(),
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
                return aws.check(at, problems).map(AuthPlan::Aws);
            }
        };
        Some(AuthPlan::Header(HeaderPlan(header)))
    }
}

/// A secret that stands in the settings or in a file, and not in both.
pub fn one_of(
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
    pub fn open(self, clock: &Clock) -> Result<Arc<dyn Authorize>, sawyer_model::Error> {
        Ok(match self {
            Self::Header(HeaderPlan(header)) => Arc::new(header),
            Self::Aws(aws) => {
                let region = aws.region(&Surroundings::of_process())?;
                let service = aws.service.clone().unwrap_or_else(|| SERVICE_USUAL.to_owned());
                aws.signer(&region, &service, &Surroundings::of_process(), clock)
            }
        })
    }
}

impl AwsSettings {
    /// Checks what the settings say together.
    pub fn check(self, at: &At<'_>, problems: &mut Problems) -> Option<Self> {
        if self.access_key_id.is_some() != self.secret_access_key.is_some() {
            problems.push(at, "expected both `access_key_id` and `secret_access_key`, or neither");
            return None;
        }
        if self.access_key_id.is_some() && self.profile.is_some() {
            problems.push(at, "expected either `access_key_id` or `profile`");
            return None;
        }
        if let Some(role) = &self.assume_role
            && !role.role_arn.starts_with("arn:")
        {
            let at = at.key("assume_role").key("role_arn");
            problems.expected(&at, "a role such as \"arn:aws:iam::123456789012:role/logs\"");
            return None;
        }
        Some(self)
    }

    /// The region that is asked.
    ///
    /// # Errors
    /// If nothing says which.
    pub fn region(&self, surroundings: &Surroundings) -> Result<String, sawyer_model::Error> {
        aws::region(self.region.clone(), self.profile.as_deref(), surroundings)
    }

    /// What signs requests to a service in a region.
    #[must_use]
    pub fn signer(
        self,
        region: &str,
        service: &str,
        surroundings: &Surroundings,
        clock: &Clock,
    ) -> Arc<dyn Authorize> {
        let source = self.credentials(region, surroundings, clock);
        Arc::new(SigV4::new(region.to_owned(), service.to_owned(), source, clock.clone()))
    }

    /// The credentials by themselves.
    #[must_use]
    pub fn credentials(
        self,
        region: &str,
        surroundings: &Surroundings,
        clock: &Clock,
    ) -> Arc<dyn CredentialsSource> {
        let keys = self.access_key_id.zip(self.secret_access_key);
        let keys = keys.map(|(access_key_id, secret_access_key)| Credentials {
            access_key_id,
            secret_access_key,
            session_token: self.session_token,
        });
        let role = self.assume_role.map(|role| AssumedBy {
            arn: role.role_arn,
            external_id: role.external_id,
            session_name: Some(role.session_name),
        });
        aws::source(keys, self.profile, role, region, surroundings, clock)
    }
}
