//! A receiver from its settings to a running input.
//!
//! Owns: what every receiver's settings have, taking the address, the way in (`push`) of each.
//! Does not own: the protocols.
//! Invariant: an address that cannot be had is told before anything runs.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use sawyer_config::{At, Problems, Reference, Setting, Settings};
use sawyer_delivery::tls::{ListenTls, ListenTlsSettings};
use sawyer_model::{Error, ErrorKind};
use sawyer_pipeline::{Context, Input, InputPlan, Outlet, Ports, Running, Stop};

use super::clients::{ClientsPlan, ClientsSettings};
use super::desk::{Desk, IntakeSettings};
use super::meters::Meters;
use super::web::{self, Protocol, Shared};
use crate::push::{OpenPush, PushHub};

/// What every receiver's settings have, checked.
#[derive(Debug)]
pub(crate) struct CommonPlan {
    clients: ClientsPlan,
    intake: IntakeSettings,
}

/// Appends what every receiver's settings have to a receiver's own.
pub(crate) fn reference(mut own: Reference) -> Reference {
    for common in [ClientsSettings::reference(), IntakeSettings::reference()] {
        own.entries.extend(common.entries);
    }
    own
}

/// Reads what every receiver's settings have, and a receiver's own.
pub(crate) fn read<S: Settings + Setting>(at: &At<'_>, problems: &mut Problems) -> Option<(S, CommonPlan)> {
    let clients = ClientsSettings::read_part(at, problems).and_then(|clients| clients.check(at, problems));
    let intake = IntakeSettings::read_part(at, problems);
    let own = S::read(&at.without(ClientsSettings::KEYS).without(IntakeSettings::KEYS), problems);
    Some((own?, CommonPlan { clients: clients?, intake: intake? }))
}

/// A receiver that speaks HTTP, checked.
#[derive(Debug)]
pub(crate) struct WebPlan {
    pub(crate) kind: &'static str,
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) tls: Option<ListenTlsSettings>,
    pub(crate) common: CommonPlan,
    pub(crate) protocol: Box<dyn Protocol>,
}

impl InputPlan for WebPlan {
    fn open(self: Box<Self>, context: &Context) -> Result<Box<dyn Input>, Error> {
        Ok(Box::new(self.open_web(context)?))
    }
}

impl WebPlan {
    /// Takes the addresses and reads the certificates.
    pub(super) fn open_web(self, context: &Context) -> Result<Web, Error> {
        let Self { kind, listen, tls, common, protocol } = self;
        let tls = tls.map(|tls| ListenTls::open(tls, &["h2", "http/1.1"])).transpose()?;
        let listeners = listen
            .into_iter()
            .map(|address| take_address(&context.ports, address))
            .collect::<Result<Vec<_>, _>>()?;
        let (hub, desk) = common.open(kind, context)?;
        let way_in = OpenPush::open(hub, desk.intake.wait_max, "a receiver has one way in")?;
        let shared = Arc::new(Shared { protocol, desk, tls });
        Ok(Web { name: context.name.clone(), listeners, way_in, shared })
    }
}

impl CommonPlan {
    /// The desk of an input, and the hub that its requests are handed in at.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub(crate) fn open(self, kind: &str, context: &Context) -> Result<(PushHub, Desk), Error> {
        let Self { clients, intake } = self;
        let hub = PushHub::new();
        let clients = clients.open(kind, &context.name);
        let meters = Meters::new(&context.metrics, &context.name);
        Ok((hub.clone(), Desk::new(clients, context.clock.clone(), intake, meters, hub)?))
    }
}

/// Takes an address.
///
/// # Errors
/// `Conflict` when it is taken already, `Invalid` when it is not this machine's or may not be used.
pub(crate) fn take_address(ports: &Ports, address: SocketAddr) -> Result<TcpListener, Error> {
    ports.tcp(address).map_err(|error| {
        let kind = match error.kind() {
            std::io::ErrorKind::AddrInUse => ErrorKind::Conflict,
            _ => ErrorKind::Invalid,
        };
        Error::new(kind, format!("listen on {address}")).because(error)
    })
}

/// A receiver that speaks HTTP, with its addresses.
pub(super) struct Web {
    name: String,
    pub(super) listeners: Vec<TcpListener>,
    way_in: OpenPush,
    shared: Arc<Shared>,
}

impl Input for Web {
    fn run(self: Box<Self>, to: Outlet, stop: Stop) -> Running {
        Box::pin(async move {
            let Self { name, listeners, way_in, shared } = *self;
            shared.desk.stop_by(&stop);
            let mut serving = tokio::task::JoinSet::new();
            for listener in listeners {
                let listener = tokio::net::TcpListener::from_std(listener)
                    .map_err(|error| Error::new(ErrorKind::Bug, "listen").because(error))?;
                if let Ok(address) = listener.local_addr() {
                    tracing::info!(input = name, %address, tls = shared.tls.is_some(), "receiving");
                }
                serving.spawn(web::serve(listener, Arc::clone(&shared), stop.clone()));
            }
            let ran = Box::new(way_in).run(to, stop).await;
            // Requests under way wait for records that pass through the pipelines at this moment.
            while serving.join_next().await.is_some() {}
            ran
        })
    }
}
