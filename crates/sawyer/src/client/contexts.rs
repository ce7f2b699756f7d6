//! Names for servers, kept in `$XDG_CONFIG_HOME/sawyer/contexts.json`.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;
use serde_json::{Value, json};

/// Where a server of one's own listens.
const LOCAL: &str = "http://127.0.0.1:7280";

/// `sawyer context …`
#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Give a server a name; the first one is also the one that is asked.
    Add {
        /// The name.
        name: String,
        /// The server's address.
        address: String,
    },
    /// Forget a name.
    Remove {
        /// The name.
        name: String,
    },
    /// Ask this server from now on.
    Use {
        /// The name.
        name: String,
    },
    /// Print all names; the one that is asked has a star.
    List,
}

/// What is kept.
#[derive(Debug, Default, PartialEq)]
struct Contexts {
    current: Option<String>,
    addresses: BTreeMap<String, String>,
}

/// Runs a command about contexts.
pub(crate) fn run(action: Action) -> Result<()> {
    let path = path()?;
    let mut contexts = Contexts::load(&path)?;
    match action {
        Action::List => {
            contexts.print(&mut io::stdout().lock())?;
            return Ok(());
        }
        Action::Add { name, address } => {
            super::Server::new(&address)?;
            contexts.current.get_or_insert_with(|| name.clone());
            contexts.addresses.insert(name, address);
        }
        Action::Use { name } => {
            contexts.address(&name)?;
            contexts.current = Some(name);
        }
        Action::Remove { name } => {
            contexts.address(&name)?;
            contexts.addresses.remove(&name);
            contexts.current.take_if(|current| *current == name);
        }
    }
    contexts.save(&path)
}

/// The address of the server to ask: what was typed goes before the environment, and that before what is kept.
pub(crate) fn resolve(server: Option<&str>, context: Option<&str>) -> Result<String> {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let server = server.map(str::to_owned).or_else(|| {
        let wanted = context.is_none();
        wanted.then(|| variable("SAWYER_SERVER")).flatten()
    });
    if let Some(server) = server {
        return Ok(server);
    }
    let context = context.map(str::to_owned).or_else(|| variable("SAWYER_CONTEXT"));
    let contexts = Contexts::load(&path()?)?;
    match context.as_deref().or(contexts.current.as_deref()) {
        Some(name) => contexts.address(name),
        None => Ok(LOCAL.to_owned()),
    }
}

fn path() -> Result<PathBuf> {
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".config"));
    let folder =
        std::env::var_os("XDG_CONFIG_HOME").filter(|path| !path.is_empty()).map(PathBuf::from).or_else(home);
    let folder = folder.context("find the folder for settings: neither XDG_CONFIG_HOME nor HOME is set")?;
    Ok(folder.join("sawyer/contexts.json"))
}

impl Contexts {
    fn load(path: &Path) -> Result<Self> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
        };
        Self::read(&text).with_context(|| format!("read {}; mend or remove it", path.display()))
    }

    fn read(text: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(text)?;
        let current = value["current"].as_str().map(str::to_owned);
        let addresses = value["contexts"].as_object().context("`contexts` is missing")?;
        let addresses = addresses.iter().map(|(name, address)| {
            Ok((name.clone(), address.as_str().context("an address is not text")?.to_owned()))
        });
        Ok(Self { current, addresses: addresses.collect::<Result<_>>()? })
    }

    fn text(&self) -> String {
        format!("{:#}\n", json!({"current": self.current, "contexts": self.addresses}))
    }

    /// Written beside and renamed, so that two commands at once leave one whole file.
    fn save(&self, path: &Path) -> Result<()> {
        let write = || {
            fs::create_dir_all(path.parent().unwrap_or(path))?;
            let beside = path.with_extension(format!("{}.tmp", std::process::id()));
            fs::write(&beside, self.text())?;
            fs::rename(&beside, path)
        };
        write().with_context(|| format!("write {}", path.display()))
    }

    fn address(&self, name: &str) -> Result<String> {
        let Some(address) = self.addresses.get(name) else {
            let known: Vec<&str> = self.addresses.keys().map(String::as_str).collect();
            bail!("there is no context `{name}`; known are: {}", known.join(", "));
        };
        Ok(address.clone())
    }

    fn print(&self, to: &mut impl Write) -> io::Result<()> {
        if self.addresses.is_empty() {
            return writeln!(to, "no contexts; {LOCAL} is asked. Add one: sawyer context add NAME ADDRESS");
        }
        for (name, address) in &self.addresses {
            let star = if self.current.as_ref() == Some(name) { '*' } else { ' ' };
            writeln!(to, "{star} {name}  {address}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sawyer/contexts.json");
        assert_eq!(Contexts::load(&path).unwrap(), Contexts::default());
        let contexts = Contexts {
            current: Some("prod".into()),
            addresses: [("prod".to_owned(), "https://logs.example.com".to_owned())].into(),
        };
        contexts.save(&path).unwrap();
        assert_eq!(Contexts::load(&path).unwrap(), contexts);
        assert_eq!(
            contexts.address("prd").unwrap_err().to_string(),
            "there is no context `prd`; known are: prod"
        );
        fs::write(&path, "{").unwrap();
        let error = format!("{:#}", Contexts::load(&path).unwrap_err());
        assert!(error.contains("mend or remove it"), "{error}");
    }
}
