//! The rules that there are: those of the configuration, and those made by the API.
//!
//! Owns: which rule comes from where, and what may be changed. Does not own: files (`keeper`), evaluating (`service`).
//! Invariant: a rule of the configuration is changed there only. A rule that cannot be read any more harms itself
//! only, and says why.

use std::collections::BTreeMap;
use std::sync::Arc;

use sawyer_model::{Error, ErrorKind};

use crate::rule::Rule;

/// Rules that may be made by the API. Each costs a query in its interval.
pub(crate) const API_RULES_MAX: usize = 500;

/// Bytes of one rule's text.
pub(crate) const RULE_BYTES_MAX: usize = 64 << 10;

/// Where a rule comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The configuration.
    File,
    /// The API, or the interface.
    Api,
}

/// A rule and where it comes from.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Where it comes from.
    pub origin: Origin,
    /// The rule, or everything that is wrong with it.
    pub rule: Result<Arc<Rule>, String>,
    /// As it was written, if it was made by the API.
    pub text: Option<String>,
}

/// All rules by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Book {
    pub(crate) entries: BTreeMap<String, Entry>,
    /// Texts of rules that were made by the API and have a name that the configuration has, too: kept for when it has
    /// not.
    aside: BTreeMap<String, String>,
}

impl Book {
    /// The rules of the configuration, and the texts of the others.
    pub(crate) fn open(
        rules: BTreeMap<String, Rule>,
        texts: BTreeMap<String, String>,
        notifiers: &[String],
    ) -> Self {
        let mut book = Self::default();
        for (name, text) in texts {
            let rule =
                Rule::parse(&name, &text, notifiers).map(Arc::new).map_err(|problems| problems.to_string());
            if let Err(problems) = &rule {
                tracing::warn!(
                    rule = name,
                    "a rule cannot be read any more, and is not evaluated: {problems}"
                );
            }
            book.entries.insert(name, Entry { origin: Origin::Api, rule, text: Some(text) });
        }
        for (name, rule) in rules {
            let entry = Entry { origin: Origin::File, rule: Ok(Arc::new(rule)), text: None };
            let before = book.entries.insert(name.clone(), entry);
            if let Some(text) = before.and_then(|entry| entry.text) {
                book.aside.insert(name.clone(), text);
                tracing::warn!(
                    rule = name,
                    "the configuration has a rule of this name; the one made by the API is left aside"
                );
            }
        }
        book
    }

    /// The rules that are evaluated.
    pub(crate) fn active(&self) -> Vec<Arc<Rule>> {
        let good = self.entries.values().filter_map(|entry| entry.rule.as_ref().ok());
        good.filter(|rule| rule.settings.enabled).cloned().collect()
    }

    /// Whether a rule is there and evaluated.
    pub(crate) fn evaluates(&self, name: &str) -> bool {
        let rule = self.entries.get(name).and_then(|entry| entry.rule.as_ref().ok());
        rule.is_some_and(|rule| rule.settings.enabled)
    }

    /// The texts to be kept.
    pub(crate) fn texts(&self) -> BTreeMap<String, String> {
        let text = |(name, entry): (&String, &Entry)| Some((name.clone(), entry.text.clone()?));
        self.entries.iter().filter_map(text).chain(self.aside.clone()).collect()
    }

    /// Whether a rule of this name may be put, and with `must_be_new` whether there is none yet.
    pub(crate) fn may_put(&self, name: &str, must_be_new: bool) -> Result<(), Error> {
        match self.entries.get(name) {
            Some(Entry { origin: Origin::File, .. }) => Err(read_only(name)),
            Some(_) if must_be_new => {
                Err(Error::new(ErrorKind::Conflict, format!("there is a rule `{name}` already")))
            }
            Some(_) => Ok(()),
            None if self.texts().len() >= API_RULES_MAX => {
                let message = format!("there are {API_RULES_MAX} rules already; remove some first");
                Err(Error::new(ErrorKind::Invalid, message))
            }
            None => Ok(()),
        }
    }

    pub(crate) fn put(&mut self, rule: Rule, text: String) {
        let entry = Entry { origin: Origin::Api, rule: Ok(Arc::new(rule.clone())), text: Some(text) };
        self.entries.insert(rule.name, entry);
    }

    pub(crate) fn remove(&mut self, name: &str) -> Result<(), Error> {
        match self.entries.get(name) {
            None => Err(Error::new(ErrorKind::NotFound, format!("there is no rule `{name}`"))),
            Some(Entry { origin: Origin::File, .. }) => Err(read_only(name)),
            Some(_) => {
                self.entries.remove(name);
                Ok(())
            }
        }
    }
}

fn read_only(name: &str) -> Error {
    let message = format!("the rule `{name}` lies in the configuration; change it there");
    Error::new(ErrorKind::Conflict, message)
}
