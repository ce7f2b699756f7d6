//! Profiles: the files `~/.aws/credentials` and `~/.aws/config`.
//!
//! Owns: reading the files, and which way a profile names. Does not own: going that way (`chain`).
//! Source: AWS SDKs and Tools reference, "Shared config and credentials files", "Assume role credential provider".
//! Keys that stand in both files are taken from `credentials`. Of the ways that a profile can name, IAM Identity Center
//! (`sso_…`) and `credential_process` are not gone; a profile with them says so.

use std::collections::BTreeMap;

use sawyer_config::Secret;

use super::Credentials;
use super::surroundings::Surroundings;

const PROFILE: &str = "AWS_PROFILE";
const CREDENTIALS_FILE: &str = "AWS_SHARED_CREDENTIALS_FILE";
const CONFIG_FILE: &str = "AWS_CONFIG_FILE";

/// Bytes of a file that are read; nobody writes larger ones.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The profiles of both files by name, with their keys.
#[derive(Debug, Default)]
pub(super) struct Profiles(BTreeMap<String, BTreeMap<String, Secret>>);

/// What a profile says about where its credentials are.
#[derive(Debug)]
pub(super) enum Way {
    /// Here.
    Keys(Credentials),
    /// A role that is assumed.
    Role(ProfileRole),
}

/// A role that a profile names.
#[derive(Debug)]
pub(super) struct ProfileRole {
    pub(super) arn: String,
    pub(super) external_id: Option<Secret>,
    pub(super) session_name: Option<String>,
    pub(super) base: Base,
}

/// Who assumes a role of a profile.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Base {
    Profile(String),
    WebIdentity(String),
    Environment,
    Container,
    Instance,
}

/// The profile that is meant: the one that is set, else that of the environment, and whether anybody named it.
pub(super) fn chosen(set: Option<&str>, surroundings: &Surroundings) -> (String, bool) {
    let named = set.map(str::to_owned).or_else(|| surroundings.get(PROFILE));
    let is_named = named.is_some();
    (named.unwrap_or_else(|| "default".to_owned()), is_named)
}

impl Profiles {
    /// Reads both files. A missing one has no profiles.
    pub(super) fn read(surroundings: &Surroundings) -> Result<Self, String> {
        let mut profiles = Self::default();
        // The second one takes the place of what the first one says.
        for (variable, usual, prefixed) in
            [(CONFIG_FILE, ".aws/config", true), (CREDENTIALS_FILE, ".aws/credentials", false)]
        {
            let Some(path) = surroundings.path(variable, usual) else { continue };
            let told = |error: std::io::Error| format!("read {}: {error}", path.display());
            match std::fs::metadata(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(told(error)),
                Ok(file) if file.len() > FILE_BYTES_MAX => {
                    return Err(format!("read {}: it is too large", path.display()));
                }
                Ok(_) => profiles.add(&std::fs::read_to_string(&path).map_err(told)?, prefixed),
            }
        }
        Ok(profiles)
    }

    /// Adds what a file says. In the file `config` sections are named `profile x`, but for `default`.
    fn add(&mut self, text: &str, prefixed: bool) {
        let mut current: Option<String> = None;
        for line in text.lines() {
            let bare = line.trim();
            if bare.is_empty() || bare.starts_with(['#', ';']) {
                continue;
            }
            if let Some(section) = bare.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
                let section = section.trim();
                let name = match section.strip_prefix("profile").filter(|rest| rest.starts_with([' ', '\t']))
                {
                    Some(name) if prefixed => Some(name.trim().trim_matches(['"', '\''])),
                    _ if prefixed && section != "default" => None,
                    _ => Some(section),
                };
                current = name.map(str::to_owned);
                continue;
            }
            // An indented line belongs to a setting with parts of its own (`s3 =`), of which none is needed here.
            let is_part = line.starts_with([' ', '\t']);
            if let (Some(name), Some((key, value)), false) = (&current, bare.split_once('='), is_part) {
                let value = value.split(" #").next().unwrap_or_default().trim();
                let keys = self.0.entry(name.clone()).or_default();
                keys.insert(key.trim().to_ascii_lowercase(), Secret::new(value));
            }
        }
    }

    pub(super) fn has(&self, profile: &str) -> bool {
        self.0.contains_key(profile)
    }

    fn secret(&self, profile: &str, key: &str) -> Option<Secret> {
        self.0.get(profile)?.get(key).filter(|value| !value.expose().is_empty()).cloned()
    }

    fn text(&self, profile: &str, key: &str) -> Option<String> {
        self.secret(profile, key).map(|value| value.expose().to_owned())
    }

    /// The region of a profile.
    pub(super) fn region(&self, profile: &str) -> Option<String> {
        self.text(profile, "region")
    }

    /// Where the credentials of a profile are; none if it names no way. `inner` is a profile that another one named as
    /// its source: what it has itself comes first.
    pub(super) fn way(&self, profile: &str, inner: bool) -> Result<Option<Way>, String> {
        let keys = self.keys(profile)?;
        if let (true, Some(keys)) = (inner, &keys) {
            return Ok(Some(Way::Keys(keys.clone())));
        }
        if let Some(arn) = self.text(profile, "role_arn") {
            let external_id = self.secret(profile, "external_id");
            let session_name = self.text(profile, "role_session_name");
            let base = self.base(profile)?;
            return Ok(Some(Way::Role(ProfileRole { arn, external_id, session_name, base })));
        }
        if let Some(keys) = keys {
            return Ok(Some(Way::Keys(keys)));
        }
        let refused = [
            ("sso_session", "IAM Identity Center"),
            ("sso_start_url", "IAM Identity Center"),
            ("credential_process", "a program (`credential_process`)"),
        ];
        match refused.iter().find(|(key, _)| self.secret(profile, key).is_some()) {
            Some((_, what)) => Err(format!("the profile `{profile}` uses {what}, which is not supported")),
            None => Ok(None),
        }
    }

    fn keys(&self, profile: &str) -> Result<Option<Credentials>, String> {
        let id = self.text(profile, "aws_access_key_id");
        let key = self.secret(profile, "aws_secret_access_key");
        match (id, key) {
            (Some(access_key_id), Some(secret_access_key)) => {
                let session_token = self.secret(profile, "aws_session_token");
                Ok(Some(Credentials { access_key_id, secret_access_key, session_token }))
            }
            (None, None) => Ok(None),
            _ => Err(format!(
                "the profile `{profile}` has one of aws_access_key_id and aws_secret_access_key, and not both"
            )),
        }
    }

    fn base(&self, profile: &str) -> Result<Base, String> {
        if let Some(file) = self.text(profile, "web_identity_token_file") {
            return Ok(Base::WebIdentity(file));
        }
        match (self.text(profile, "source_profile"), self.text(profile, "credential_source").as_deref()) {
            (Some(source), None) => Ok(Base::Profile(source)),
            (None, Some("Environment")) => Ok(Base::Environment),
            (None, Some("EcsContainer")) => Ok(Base::Container),
            (None, Some("Ec2InstanceMetadata")) => Ok(Base::Instance),
            (None, Some(other)) => {
                Err(format!("the profile `{profile}` has an unknown credential_source: {other}"))
            }
            _ => Err(format!(
                "the profile `{profile}` has a role_arn, and needs one of source_profile, credential_source and \
                 web_identity_token_file"
            )),
        }
    }
}

#[cfg(test)]
mod unit {
    use super::*;

    const CONFIG: &str = "
# a comment
[default]
region = ap-northeast-2
s3 =
  region = not-this-one
[profile logs]
role_arn=arn:aws:iam::1:role/logs
source_profile = base
external_id = abc # for them
[profile loose]
role_arn = arn:aws:iam::1:role/logs
[profile sso]
sso_session = corp
[nobody]
region = x
";
    const CREDENTIALS: &str =
        "[base]\naws_access_key_id = AKID\naws_secret_access_key = se=cret\n\n[half]\naws_access_key_id=A\n";

    fn profiles() -> Profiles {
        let mut profiles = Profiles::default();
        profiles.add(CONFIG, true);
        profiles.add(CREDENTIALS, false);
        profiles
    }

    #[test]
    fn reads_profiles_of_both_files() {
        let profiles = profiles();
        assert_eq!(profiles.region("default").as_deref(), Some("ap-northeast-2"));
        assert!(!profiles.has("nobody"), "a section of the file `config` without `profile` is none");
        let Some(Way::Role(role)) = profiles.way("logs", false).unwrap() else { panic!("it has a role") };
        assert_eq!(
            (role.arn.as_str(), role.base),
            ("arn:aws:iam::1:role/logs", Base::Profile("base".into()))
        );
        assert_eq!(role.external_id.unwrap().expose(), "abc");
        let Some(Way::Keys(keys)) = profiles.way("base", true).unwrap() else { panic!("it has keys") };
        assert_eq!((keys.access_key_id.as_str(), keys.secret_access_key.expose()), ("AKID", "se=cret"));
        assert!(profiles.way("default", false).unwrap().is_none());
    }

    #[test]
    fn tells_what_a_profile_lacks() {
        let told = |name: &str| profiles().way(name, false).unwrap_err();
        assert!(told("half").contains("and not both"));
        assert!(told("loose").contains("needs one of source_profile"));
        assert_eq!(told("sso"), "the profile `sso` uses IAM Identity Center, which is not supported");
        assert!(!format!("{:?}", profiles()).contains("se=cret"));
    }
}
