//! An input that says what a test tells it to.

use std::sync::Mutex;

use sawyer_config::{Settings, settings};
use sawyer_model::{Ack, Batch, Error};
use sawyer_pipeline::stop::Stop;
use sawyer_pipeline::{Context, Input, InputPlan, Kind, Kinds, Outlet, Running};

settings! {
    /// Says what it is told to.
    pub struct SaySettings {}
}

pub(crate) type Said = tokio::sync::mpsc::UnboundedReceiver<(Batch, Ack)>;

#[derive(Debug)]
struct Say(Said);

impl InputPlan for Say {
    fn open(self: Box<Self>, _: &Context) -> Result<Box<dyn Input>, Error> {
        Ok(self)
    }
}

impl Input for Say {
    fn run(mut self: Box<Self>, to: Outlet, _: Stop) -> Running {
        Box::pin(async move {
            while let Some((batch, ack)) = self.0.recv().await {
                to.send(batch, ack).await.unwrap();
            }
            Ok(())
        })
    }
}

/// The kinds of all components, with an input `say` that says this.
pub(crate) fn kinds(said: Said) -> Kinds {
    let said = Mutex::new(Some(said));
    let say = Kind::<Box<dyn InputPlan>> {
        name: "say",
        reference: SaySettings::reference,
        read: Box::new(move |_, _| Some(Box::new(Say(said.lock().unwrap().take()?)))),
    };
    Kinds { inputs: vec![say], steps: sawyer_pipeline::steps::kinds(), outputs: sawyer_output::kinds() }
}
