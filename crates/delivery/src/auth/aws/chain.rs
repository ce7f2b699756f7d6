//! The sources of credentials, in the order in which AWS's own programs try them.
//!
//! Owns: the order, and saying which were tried and why each did not serve. Does not own: any source.
//! Invariant: a source that is set up and fails ends the search. Going on to the next one would use another role than
//! the one that was meant, such as the node's instead of the pod's.
//!
//! 1. the environment: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`
//! 2. a web identity (IRSA): `AWS_WEB_IDENTITY_TOKEN_FILE`, `AWS_ROLE_ARN`
//! 3. a profile of `~/.aws/credentials` and `~/.aws/config`
//! 4. the container's agent (EKS Pod Identity, ECS): `AWS_CONTAINER_CREDENTIALS_FULL_URI`
//! 5. the machine's role (EC2 instance metadata, version 2)

use std::path::PathBuf;
use std::sync::Arc;

use sawyer_config::Secret;
use sawyer_model::{Error, ErrorKind};
use sawyer_telemetry::Clock;

use super::Credentials;
use super::ask::Asker;
use super::container::try_container;
use super::instance::Instance;
use super::kept::{Fetch, Fresh};
use super::profile::{Base, ProfileRole, Profiles, Way, chosen};
use super::sts::{Role, Sts};
use super::surroundings::Surroundings;
use crate::letters::Promise;

/// How many profiles may name one another before the roles of one are assumed.
const PROFILES_MAX: usize = 5;

/// What a source had.
pub(super) enum Tried {
    Found(Fresh),
    /// It is not set up.
    Absent(String),
    /// It is set up, and does not work.
    Failed(String),
}

/// All sources.
pub(in crate::auth) struct Chain {
    surroundings: Surroundings,
    /// A profile that the settings name; then no other source is tried.
    profile: Option<String>,
    sts: Sts,
    instance: Instance,
}

impl Chain {
    pub(in crate::auth) fn new(
        surroundings: &Surroundings,
        profile: Option<String>,
        region: String,
        clock: &Clock,
    ) -> Self {
        let asker = Arc::new(Asker::new(surroundings));
        let surroundings = surroundings.clone();
        let sts = Sts { surroundings: surroundings.clone(), asker, region, clock: clock.clone() };
        Self { surroundings, profile, sts, instance: Instance::new(clock.clone()) }
    }

    /// What assumes roles with what it found.
    pub(super) fn sts(&self) -> &Sts {
        &self.sts
    }

    fn try_environment(&self) -> Tried {
        let get = |name| self.surroundings.get(name);
        match (get("AWS_ACCESS_KEY_ID"), get("AWS_SECRET_ACCESS_KEY")) {
            (Some(access_key_id), Some(key)) => {
                let session_token = get("AWS_SESSION_TOKEN").map(Secret::new);
                let secret_access_key = Secret::new(key);
                let credentials = Credentials { access_key_id, secret_access_key, session_token };
                Tried::Found(Fresh { credentials, expires: None })
            }
            (None, None) => Tried::Absent("AWS_ACCESS_KEY_ID is not set".to_owned()),
            (None, Some(_)) => {
                Tried::Failed("AWS_SECRET_ACCESS_KEY is set, and AWS_ACCESS_KEY_ID is not".to_owned())
            }
            (Some(_), None) => {
                Tried::Failed("AWS_ACCESS_KEY_ID is set, and AWS_SECRET_ACCESS_KEY is not".to_owned())
            }
        }
    }

    async fn try_container(&self) -> Tried {
        try_container(&self.surroundings, &self.sts.asker).await
    }

    async fn try_instance(&self) -> Tried {
        self.instance.try_instance(&self.surroundings, &self.sts.asker).await
    }

    async fn try_profile(&self) -> Tried {
        let (name, is_named) = chosen(self.profile.as_deref(), &self.surroundings);
        let surroundings = self.surroundings.clone();
        let read = tokio::task::spawn_blocking(move || Profiles::read(&surroundings)).await;
        let profiles = match read {
            Ok(Ok(profiles)) => profiles,
            Ok(Err(why)) => return Tried::Failed(why),
            Err(panic) => return Tried::Failed(panic.to_string()),
        };
        match profiles.way(&name, false) {
            Ok(Some(way)) => match self.go(&profiles, &name, way, PROFILES_MAX).await {
                Ok(fresh) => Tried::Found(fresh),
                Err(why) => Tried::Failed(why),
            },
            Ok(None) if profiles.has(&name) => {
                let why = format!("the profile `{name}` has no credentials");
                if is_named { Tried::Failed(why) } else { Tried::Absent(why) }
            }
            Ok(None) if is_named => Tried::Failed(format!("there is no profile `{name}`")),
            Ok(None) => Tried::Absent(format!("there is no profile `{name}`")),
            Err(why) => Tried::Failed(why),
        }
    }

    /// Goes the way that a profile names.
    fn go<'a>(
        &'a self,
        profiles: &'a Profiles,
        profile: &'a str,
        way: Way,
        depth: usize,
    ) -> Promise<'a, Result<Fresh, String>> {
        Box::pin(async move {
            let ProfileRole { arn, external_id, session_name, base } = match way {
                Way::Keys(credentials) => return Ok(Fresh { credentials, expires: None }),
                Way::Role(role) => role,
            };
            let role = Role { arn, external_id, session_name };
            let failed =
                |why: String| format!("assume the role {} of the profile `{profile}`: {why}", role.arn);
            let base = match base {
                Base::WebIdentity(file) => {
                    let assumed = self.sts.with_web_identity(&PathBuf::from(file), &role).await;
                    return assumed.map_err(failed);
                }
                Base::Profile(source) => {
                    if depth == 0 {
                        return Err(failed("its source profiles lead in a circle".to_owned()));
                    }
                    let inner = profiles.way(&source, true)?;
                    let inner =
                        inner.ok_or_else(|| failed(format!("the profile `{source}` has no credentials")))?;
                    self.go(profiles, &source, inner, depth - 1).await?
                }
                Base::Environment => found(self.try_environment()).map_err(failed)?,
                Base::Container => found(self.try_container().await).map_err(failed)?,
                Base::Instance => found(self.try_instance().await).map_err(failed)?,
            };
            self.sts.assume(&base.credentials, &role).await.map_err(failed)
        })
    }
}

fn found(tried: Tried) -> Result<Fresh, String> {
    match tried {
        Tried::Found(fresh) => Ok(fresh),
        Tried::Absent(why) | Tried::Failed(why) => Err(why),
    }
}

impl Fetch for Chain {
    fn fetch(&self) -> Promise<'_, Result<Fresh, Error>> {
        Box::pin(async {
            let mut absent = Vec::new();
            for source in ["environment", "web identity", "profile", "container", "instance"] {
                if self.profile.is_some() && source != "profile" {
                    continue;
                }
                let tried = match source {
                    "environment" => self.try_environment(),
                    "web identity" => self.sts.try_web_identity().await,
                    "profile" => self.try_profile().await,
                    "container" => self.try_container().await,
                    _ => self.try_instance().await,
                };
                match tried {
                    Tried::Found(fresh) => {
                        tracing::debug!(source, "AWS credentials found");
                        return Ok(fresh);
                    }
                    Tried::Absent(why) => absent.push(format!("{source}: {why}")),
                    Tried::Failed(why) => {
                        absent.push(format!("{source}: {why}"));
                        break;
                    }
                }
            }
            Err(Error::new(ErrorKind::Retry, format!("no AWS credentials: {}", absent.join("; "))))
        })
    }
}

/// The region that was set, else the environment's, else the profile's.
pub(super) fn region(
    set: Option<String>,
    profile: Option<&str>,
    surroundings: &Surroundings,
) -> Result<String, Error> {
    let set =
        set.or_else(|| surroundings.get("AWS_REGION")).or_else(|| surroundings.get("AWS_DEFAULT_REGION"));
    if let Some(region) = set {
        return Ok(region);
    }
    let of_profile = Profiles::read(surroundings).map_err(|why| Error::new(ErrorKind::Invalid, why))?;
    of_profile.region(&chosen(profile, surroundings).0).ok_or_else(|| {
        Error::new(ErrorKind::Invalid, "no AWS region: set `region`, or AWS_REGION in the environment")
    })
}
