//! Our account with an authority: made once for all nodes that share the storage.

use std::sync::Arc;
use std::time::{Duration, Instant};

use instant_acme::{Account, AccountCredentials, Error, NewAccount};
use serde::{Deserialize, Serialize};

use super::error::{AcmeError, Stage};
use super::settings::Settings;
use super::storage::lease::{Attempt, Claim};
use super::storage::{Storage, digest_hex, failed, read, write};
use super::transport::Transport;

/// Longest wait for another node that makes the account.
const WAIT: Duration = Duration::from_secs(120);
/// How often it is looked whether it is there.
const LOOK: Duration = Duration::from_millis(250);
/// Term of the lease; making an account is two requests of 30 seconds at most.
const TERM: Duration = Duration::from_secs(90);

/// What stands in the account's file. The credentials hold the key, so the whole is never printed.
#[derive(Serialize, Deserialize)]
struct Saved {
    #[serde(default)]
    email: Option<String>,
    credentials: AccountCredentials,
}

/// Where the account comes from, and for whom.
pub(super) struct Accounts<'a> {
    pub(super) settings: &'a Settings,
    pub(super) storage: &'a Storage,
    pub(super) transport: &'a Transport,
    pub(super) node: &'a str,
    /// Seconds since 1970.
    pub(super) clock: &'a Arc<dyn Fn() -> i64 + Send + Sync>,
}

impl Accounts<'_> {
    /// The stored account; none if there is none.
    pub(super) async fn load(&self) -> Result<Option<Account>, AcmeError> {
        let Some(saved) = self.saved().await? else {
            return Ok(None);
        };
        let builder = Account::builder_with_http(Box::new(self.transport.clone()));
        let account = builder
            .from_credentials(saved.credentials)
            .await
            .map_err(|error| self.failed(Stage::Directory, &error))?;
        if saved.email == self.settings.email {
            return Ok(Some(account));
        }
        self.change_email(&account).await?;
        Ok(Some(account))
    }

    /// The stored account, or a new one that is stored.
    pub(super) async fn open(&self) -> Result<Account, AcmeError> {
        if let Some(account) = self.load().await? {
            return Ok(account);
        }
        let name = format!("account-{}", digest_hex(&[&self.settings.directory]));
        let mut claim = Claim::new(self.storage, &name, self.node, TERM);
        let end = Instant::now() + WAIT;
        let _lease = loop {
            let now = (self.clock)();
            let attempt;
            (claim, attempt) = on_disk(move || {
                let attempt = claim.attempt(now, Instant::now());
                (claim, attempt)
            })
            .await?;
            match attempt? {
                Attempt::Held(lease) => break lease,
                Attempt::Busy(holder) if Instant::now() > end => {
                    return Err(AcmeError::new(
                        Stage::Account,
                        format!("{holder} does not finish making the account"),
                    ));
                }
                Attempt::Busy(_) => tokio::time::sleep(LOOK).await,
            }
        };
        // The node that had the lease before may have made it.
        match self.load().await? {
            Some(account) => Ok(account),
            None => self.create().await,
        }
    }

    /// Lets an account go that the authority does not know any more; the next order makes another.
    pub(super) async fn forget(&self) -> Result<(), AcmeError> {
        let file = self.storage.account_file(&self.settings.directory);
        let kept = file.with_extension("unknown");
        on_disk(move || match std::fs::rename(&file, kept) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(failed(&file, &error))
            }
            _ => Ok(()),
        })
        .await?
    }

    async fn create(&self) -> Result<Account, AcmeError> {
        let contact = self.contact();
        let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
        let new = NewAccount {
            contact: &contact,
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let builder = Account::builder_with_http(Box::new(self.transport.clone()));
        let directory = self.settings.directory.clone();
        let (account, credentials) = builder
            .create(&new, directory, None)
            .await
            .map_err(|error| self.failed(Stage::Account, &error))?;
        self.save(credentials).await?;
        Ok(account)
    }

    async fn change_email(&self, account: &Account) -> Result<(), AcmeError> {
        let contact = self.contact();
        let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
        account
            .update_contacts(&contact)
            .await
            .map_err(|error| self.failed(Stage::Account, &error))?;
        match self.saved().await? {
            Some(saved) => self.save(saved.credentials).await,
            None => Ok(()),
        }
    }

    fn contact(&self) -> Option<String> {
        let email = self.settings.email.as_ref()?;
        Some(format!("mailto:{email}"))
    }

    async fn saved(&self) -> Result<Option<Saved>, AcmeError> {
        let file = self.storage.account_file(&self.settings.directory);
        on_disk(move || {
            let Some(bytes) = read(&file)? else {
                return Ok(None);
            };
            // The reason would quote the file, and the file holds a key.
            serde_json::from_slice(&bytes).map(Some).map_err(|_| {
                let why = std::io::Error::other(
                    "is no account file; remove it to have another account made",
                );
                failed(&file, &why)
            })
        })
        .await?
    }

    async fn save(&self, credentials: AccountCredentials) -> Result<(), AcmeError> {
        let file = self.storage.account_file(&self.settings.directory);
        let saved = Saved {
            email: self.settings.email.clone(),
            credentials,
        };
        on_disk(move || {
            let text = serde_json::to_vec(&saved).map_err(|error| failed(&file, &error.into()))?;
            write(&file, &text)
        })
        .await?
    }

    fn failed(&self, stage: Stage, error: &Error) -> AcmeError {
        // What the transport says is about the way there.
        let stage = match error {
            Error::Other(_) | Error::Json(_) => Stage::Directory,
            _ => stage,
        };
        AcmeError {
            retry_after_s: self.transport.take_pause_s(),
            ..AcmeError::new(stage, error)
        }
    }
}

/// Runs work with files on a thread for it.
pub(super) async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, AcmeError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| AcmeError::new(Stage::Storage, "the work with the files ended early"))
}
