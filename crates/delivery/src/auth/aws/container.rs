//! Credentials from an agent beside the container: EKS Pod Identity, ECS tasks.
//!
//! Source: AWS SDKs and Tools reference, "Container credential provider"; EKS user guide, "EKS Pod Identity".

use std::net::IpAddr;

use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Method, Url};

use super::ask::{Asker, Distance};
use super::chain::Tried;
use super::surroundings::Surroundings;
use crate::http::Request;

const FULL: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
const RELATIVE: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
const TOKEN: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN";
const TOKEN_FILE: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";

/// Where the agent of ECS listens.
const ECS: &str = "http://169.254.170.2";

/// Addresses of the agents of ECS and EKS, which may be asked without encryption.
const AGENTS: [&str; 3] = ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"];

/// Asks the agent, if the environment names one.
pub(super) async fn try_container(surroundings: &Surroundings, asker: &Asker) -> Tried {
    let address = match (surroundings.get(RELATIVE), surroundings.get(FULL)) {
        (Some(path), _) => format!("{ECS}{path}"),
        (None, Some(address)) => address,
        (None, None) => return Tried::Absent(format!("{FULL} is not set")),
    };
    match ask(&address, surroundings, asker).await {
        Ok(fresh) => Tried::Found(fresh),
        Err(why) => Tried::Failed(why),
    }
}

async fn ask(
    address: &str,
    surroundings: &Surroundings,
    asker: &Asker,
) -> Result<super::kept::Fresh, String> {
    let url = Url::parse(address).map_err(|_| format!("{FULL} is not an address"))?;
    if !is_trusted(&url) {
        let place = url.origin().ascii_serialization();
        return Err(format!("{FULL} names {place}, which is neither https nor an address of this machine"));
    }
    let place = url.origin().ascii_serialization();
    let mut request = Request::new(Method::GET, url);
    if let Some(token) = token(surroundings).await? {
        let mut value = HeaderValue::try_from(token)
            .map_err(|_| "the authorization token has characters that cannot stand in a header".to_owned())?;
        value.set_sensitive(true);
        request.headers.insert(AUTHORIZATION, value);
    }
    asker.ask(request, Distance::Near).await?.credentials(&place)
}

/// The token, as it is right now: its file changes.
async fn token(surroundings: &Surroundings) -> Result<Option<String>, String> {
    let Some(path) = surroundings.get(TOKEN_FILE) else { return Ok(surroundings.get(TOKEN)) };
    let text = tokio::fs::read_to_string(&path).await;
    let text = text.map_err(|error| format!("read {path} (of {TOKEN_FILE}): {error}"))?;
    Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// Without encryption only this machine may be asked, or the token would be sent to anybody.
fn is_trusted(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let here = host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    url.scheme() == "https" || (url.scheme() == "http" && (here || AGENTS.contains(&host)))
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn only_this_machine_is_asked_without_encryption() {
        let trusted = |text: &str| is_trusted(&text.parse().unwrap());
        for good in [
            "http://127.0.0.1:80/v1",
            "http://[::1]/x",
            "http://localhost/x",
            "http://169.254.170.2/x",
            "http://169.254.170.23/v1/credentials",
            "http://[fd00:ec2::23]/v1/credentials",
            "https://anywhere.example/x",
        ] {
            assert!(trusted(good), "{good}");
        }
        for bad in
            ["http://10.0.0.1/x", "http://agent.example/x", "http://169.254.170.24/x", "ftp://127.0.0.1/x"]
        {
            assert!(!trusted(bad), "{bad}");
        }
    }
}
