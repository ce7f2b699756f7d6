//! The Security Token Service: roles that are assumed.
//!
//! Owns: the two requests, their answers as XML. Does not own: who proves what.
//! Source: AWS STS API reference, `AssumeRole` and `AssumeRoleWithWebIdentity`.
//! The endpoint is the region's own, unless `AWS_ENDPOINT_URL_STS` or `AWS_ENDPOINT_URL` names another.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use reqwest::{Method, Url};
use sawyer_config::Secret;
use sawyer_model::{Error, ErrorKind, Timestamp};
use sawyer_telemetry::Clock;

use super::ask::{Asker, Distance, Told};
use super::chain::Tried;
use super::kept::{Fetch, Fresh};
use super::surroundings::Surroundings;
use super::{Credentials, CredentialsSource, sign};
use crate::http::{Compression, Request, shown};
use crate::letters::Promise;

const ROLE: &str = "AWS_ROLE_ARN";
const TOKEN_FILE: &str = "AWS_WEB_IDENTITY_TOKEN_FILE";
const SESSION_NAME: &str = "AWS_ROLE_SESSION_NAME";

/// The name of sessions in AWS's own logs, unless another one is set.
const SESSION_NAME_USUAL: &str = "sawyer";

const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";

/// The service in a region.
#[derive(Clone)]
pub(super) struct Sts {
    pub(super) surroundings: Surroundings,
    pub(super) asker: Arc<Asker>,
    pub(super) region: String,
    pub(super) clock: Clock,
}

/// A role to assume.
#[derive(Clone, Debug)]
pub(in crate::auth) struct Role {
    pub(in crate::auth) arn: String,
    pub(in crate::auth) external_id: Option<Secret>,
    pub(in crate::auth) session_name: Option<String>,
}

/// A role that other credentials assume.
pub(super) struct AssumedRole {
    pub(super) base: Arc<dyn CredentialsSource>,
    pub(super) role: Role,
    pub(super) sts: Sts,
}

impl Fetch for AssumedRole {
    fn fetch(&self) -> Promise<'_, Result<Fresh, Error>> {
        Box::pin(async {
            let credentials = self.base.current().await?;
            let assumed = self.sts.assume(&credentials, &self.role).await;
            assumed.map_err(|why| {
                Error::new(ErrorKind::Retry, format!("assume the role {}: {why}", self.role.arn))
            })
        })
    }
}

impl Sts {
    /// What the environment of a Kubernetes service account with a role says (IRSA).
    pub(super) async fn try_web_identity(&self) -> Tried {
        let Some(file) = self.surroundings.get(TOKEN_FILE) else {
            return Tried::Absent(format!("{TOKEN_FILE} is not set"));
        };
        let Some(arn) = self.surroundings.get(ROLE) else {
            return Tried::Failed(format!("{TOKEN_FILE} is set, and {ROLE} is not"));
        };
        let role = Role { arn, external_id: None, session_name: self.surroundings.get(SESSION_NAME) };
        match self.with_web_identity(&PathBuf::from(file), &role).await {
            Ok(fresh) => Tried::Found(fresh),
            Err(why) => Tried::Failed(format!("assume the role {}: {why}", role.arn)),
        }
    }

    /// Assumes a role with the token in a file, which is read each time: it changes.
    pub(super) async fn with_web_identity(&self, file: &Path, role: &Role) -> Result<Fresh, String> {
        let token = tokio::fs::read_to_string(file).await;
        let token = token.map_err(|error| format!("read the token in {}: {error}", file.display()))?;
        let mut fields = Self::fields("AssumeRoleWithWebIdentity", role);
        fields.push(("WebIdentityToken", token.trim().to_owned()));
        let request = self.request(&fields)?;
        let told = self.asker.ask(request, Distance::Far).await?;
        read(&told, &self.place())
    }

    /// Assumes a role with credentials.
    pub(super) async fn assume(&self, credentials: &Credentials, role: &Role) -> Result<Fresh, String> {
        let mut fields = Self::fields("AssumeRole", role);
        if let Some(id) = &role.external_id {
            fields.push(("ExternalId", id.expose().to_owned()));
        }
        let mut request = self.request(&fields)?;
        sign(&mut request, credentials, (&self.region, "sts"), self.clock.now())
            .map_err(|error| error.chain())?;
        let told = self.asker.ask(request, Distance::Far).await?;
        read(&told, &self.place())
    }

    fn fields(action: &'static str, role: &Role) -> Vec<(&'static str, String)> {
        let session_name = role.session_name.clone().unwrap_or_else(|| SESSION_NAME_USUAL.to_owned());
        vec![
            ("Action", action.to_owned()),
            ("Version", "2011-06-15".to_owned()),
            ("RoleArn", role.arn.clone()),
            ("RoleSessionName", session_name),
        ]
    }

    fn request(&self, fields: &[(&'static str, String)]) -> Result<Request, String> {
        let text = self.endpoint();
        let url = Url::parse(&text).map_err(|_| format!("the endpoint of STS is not an address: {text}"))?;
        let pairs: Vec<String> =
            fields.iter().map(|(name, value)| format!("{name}={}", sign::encode(value.as_bytes()))).collect();
        let body = pairs.join("&").into_bytes().into();
        Ok(Request::with_body(Method::POST, url, FORM, Compression::None, body))
    }

    pub(super) fn endpoint(&self) -> String {
        let set = self
            .surroundings
            .get("AWS_ENDPOINT_URL_STS")
            .or_else(|| self.surroundings.get("AWS_ENDPOINT_URL"));
        set.unwrap_or_else(|| format!("https://sts.{}.{}/", self.region, super::domain_of(&self.region)))
    }

    fn place(&self) -> String {
        self.endpoint().trim_end_matches('/').to_owned()
    }
}

fn read(told: &Told, place: &str) -> Result<Fresh, String> {
    let text = String::from_utf8_lossy(&told.body);
    if told.status != 200 {
        let (code, message) = (element(&text, "Code"), element(&text, "Message"));
        return Err(match code {
            Some(code) => {
                let said = format!("{code}: {}", message.unwrap_or_default());
                format!("{place}: {}", shown(said.as_bytes()))
            }
            None => told.complaint(place),
        });
    }
    let part = |name| element(&text, name).filter(|text| !text.is_empty());
    let whole =
        part("AccessKeyId").zip(part("SecretAccessKey")).zip(part("SessionToken")).zip(part("Expiration"));
    let (((access_key_id, key), token), expires) =
        whole.ok_or_else(|| format!("{place}: the answer has no credentials"))?;
    let expires = Timestamp::parse(&expires)
        .map_err(|_| format!("{place}: the answer's `Expiration` is not a time"))?;
    let credentials = Credentials {
        access_key_id,
        secret_access_key: Secret::new(key),
        session_token: Some(Secret::new(token)),
    };
    Ok(Fresh { credentials, expires: Some(expires) })
}

/// The text of the first element of this name. The answers have no attributes, comments or sections in them.
fn element(xml: &str, name: &str) -> Option<String> {
    let (_, after) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = after.split_once(&format!("</{name}>"))?;
    let entities =
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&#xA;", "\n"), ("&amp;", "&")];
    Some(entities.iter().fold(text.trim().to_owned(), |text, (entity, is)| text.replace(entity, is)))
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn reads_elements_of_an_answer() {
        let xml = "<A><Code>AccessDenied</Code><Message> User &lt;x&gt; &amp;amp; </Message></A>";
        assert_eq!(element(xml, "Code").as_deref(), Some("AccessDenied"));
        assert_eq!(element(xml, "Message").as_deref(), Some("User <x> &amp;"));
        assert_eq!(element(xml, "Token"), None);
        assert_eq!(element("<Code>x", "Code"), None);
    }
}
