//! An image that tests of one program share.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
};

use testcontainers::bollard::{Docker, errors::Error, query_parameters::RemoveImageOptions};
use tokio::sync::Mutex;

/// Which of them are used. While it is locked, one is built or removed: never two at a time, and never one that
/// somebody is about to use.
static USED: Mutex<BTreeMap<String, Weak<()>>> = Mutex::const_new(BTreeMap::new());

/// It is built for the first test that uses it, and goes with the last.
pub struct Image {
    engine: Docker,
    name: String,
    used: Arc<()>,
}

impl Image {
    /// The image of this name. `build` builds it, and is called if nobody uses it yet.
    pub async fn share(engine: &Docker, name: String, build: impl AsyncFnOnce(&str)) -> Self {
        let mut all = USED.lock().await;
        let used = match all.get(&name).and_then(Weak::upgrade) {
            Some(used) => used,
            None => {
                build(&name).await;
                let used = Arc::new(());
                all.insert(name.clone(), Arc::downgrade(&used));
                used
            }
        };
        Self { engine: engine.clone(), name, used }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Removes it, unless others use it.
    ///
    /// # Errors
    ///
    /// The engine's: there may be a container of it.
    pub async fn remove(self) -> Result<(), Error> {
        let Self { engine, name, used } = self;
        let _all = USED.lock().await;
        if Arc::into_inner(used).is_some() {
            engine.remove_image(&name, None::<RemoveImageOptions>, None).await?;
        }
        Ok(())
    }
}
