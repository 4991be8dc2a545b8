//! An order at the authority, from the question to the chain (RFC 8555 section 7.4).

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use boring::x509::X509Ref;
use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, ChallengeType, Error, Identifier,
    NewOrder, Order, OrderStatus, Problem, RetryPolicy,
};

use super::account::on_disk;
use super::challenges::{Challenges, FRESH, Pending};
use super::error::{AcmeError, Stage};
use super::renewal::Window;
use super::request;
use super::settings::{Challenge, Settings};
use super::transport::Transport;

/// How long the authority may take to validate all names, and as long again to issue.
const VALIDATION: Duration = Duration::from_secs(180);
/// Answers to renewal questions are asked for again after this time at the earliest and the latest, in seconds
/// (RFC 9773 section 4.3.2).
const ASK_AGAIN_S: std::ops::RangeInclusive<u64> = 3_600..=86_400;
/// The problem of an account that the authority has lost.
const NO_ACCOUNT: &str = "urn:ietf:params:acme:error:accountDoesNotExist";
/// The problem of too many orders.
const RATE_LIMITED: &str = "urn:ietf:params:acme:error:rateLimited";

/// What an order gave.
pub(super) struct Issued {
    /// The certificate and its intermediates, PEM.
    pub(super) chain: String,
    /// Its key, PEM. Never printed.
    pub(super) key: Vec<u8>,
}

/// Why an order failed.
pub(super) enum Refusal {
    /// The authority does not know our account: with another one it may go on.
    UnknownAccount(AcmeError),
    /// Anything else.
    Failed(AcmeError),
}

/// The authority, asked with our account.
pub(super) struct Authority<'a> {
    pub(super) account: Account,
    pub(super) transport: &'a Transport,
    pub(super) settings: &'a Settings,
    pub(super) challenges: &'a Arc<Challenges>,
}

impl Authority<'_> {
    /// Orders a certificate for all domains together. `old` is the one it replaces (RFC 9773 section 5).
    pub(super) async fn order(&self, old: Option<&X509Ref>) -> Result<Issued, Refusal> {
        let domains = &self.settings.domains;
        let names: Vec<Identifier> = domains.iter().cloned().map(Identifier::Dns).collect();
        let mut order = match self.new_order(&names, old).await {
            Ok(order) => order,
            Err(Error::Api(problem)) if is_no_account(&problem) => {
                let error = self.failed(Stage::Account, &Error::Api(problem));
                return Err(Refusal::UnknownAccount(error));
            }
            Err(error) => return Err(Refusal::Failed(self.failed(Stage::Order, &error))),
        };
        let pending = self.validate(&mut order).await.map_err(Refusal::Failed)?;
        // Not needed any more. A failure of files is no failure of the order.
        let _ = on_disk(move || drop(pending)).await;
        self.issue(&mut order).await.map_err(Refusal::Failed)
    }

    async fn new_order(&self, names: &[Identifier], old: Option<&X509Ref>) -> Result<Order, Error> {
        let plain = NewOrder::new(names);
        let Some(old) = old.and_then(identifier) else {
            return self.account.new_order(&plain).await;
        };
        match self
            .account
            .new_order(&NewOrder::new(names).replaces(old))
            .await
        {
            // No RFC 9773 here: then it is an order like any other.
            Err(Error::Unsupported(_) | Error::Other(_)) => self.account.new_order(&plain).await,
            // The old one was replaced already, or belongs to another account.
            Err(Error::Api(problem)) if !is_final(&problem) => self.account.new_order(&plain).await,
            other => other,
        }
    }

    /// Shows the authority that every name is ours. The answers stay as long as what this gives.
    async fn validate(&self, order: &mut Order) -> Result<Vec<Pending>, AcmeError> {
        if order.state().status != OrderStatus::Pending {
            return Ok(Vec::new());
        }
        let pending = self.put_answers(order).await?;
        if self.settings.challenge == Challenge::TlsAlpn01 {
            // Other nodes may believe for so long that there is no answer for a name.
            tokio::time::sleep(FRESH + Duration::from_millis(100)).await;
        }
        self.call(order).await?;
        let status = match order.poll_ready(&patience()).await {
            Ok(OrderStatus::Ready) => return Ok(pending),
            Ok(_) => None,
            Err(error) => Some(self.failed(Stage::Validation, &error)),
        };
        let why = self.refused(order).await;
        let why = why.or(status);
        Err(why.unwrap_or_else(|| {
            AcmeError::new(Stage::Validation, "the authority calls the order invalid")
        }))
    }

    /// Makes the answers known for every name that is not proved already.
    async fn put_answers(&self, order: &mut Order) -> Result<Vec<Pending>, AcmeError> {
        let mut pending = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization =
                authorization.map_err(|error| self.failed(Stage::Order, &error))?;
            match authorization.status {
                AuthorizationStatus::Pending => {}
                AuthorizationStatus::Valid => continue,
                other => {
                    let name = authorization.identifier();
                    return Err(AcmeError::new(
                        Stage::Order,
                        format!("the authority begins with {name} as {other:?}"),
                    ));
                }
            }
            let domain = authorization.identifier().to_string();
            if !self.settings.domains.contains(&domain) {
                return Err(AcmeError::new(
                    Stage::Order,
                    format!("the authority asks about {domain}, which was not ordered"),
                ));
            }
            let Some(challenge) = authorization.challenge(self.kind()) else {
                return Err(AcmeError::new(
                    Stage::Order,
                    format!("the authority does not offer this challenge for {domain}"),
                ));
            };
            let (token, answer) = (challenge.token.clone(), challenge.key_authorization());
            let answer = answer.as_str().to_owned();
            let (challenges, challenge) = (Arc::clone(self.challenges), self.settings.challenge);
            pending
                .push(on_disk(move || challenges.put(challenge, &domain, &token, &answer)).await??);
        }
        Ok(pending)
    }

    /// Tells the authority that it may ask.
    async fn call(&self, order: &mut Order) -> Result<(), AcmeError> {
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization =
                authorization.map_err(|error| self.failed(Stage::Order, &error))?;
            if authorization.status != AuthorizationStatus::Pending {
                continue;
            }
            if let Some(mut challenge) = authorization.challenge(self.kind()) {
                challenge
                    .set_ready()
                    .await
                    .map_err(|error| self.failed(Stage::Validation, &error))?;
            }
        }
        Ok(())
    }

    /// What the authority saw where it should have seen our answers, name by name.
    async fn refused(&self, order: &mut Order) -> Option<AcmeError> {
        let mut found: Vec<String> = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(Ok(mut authorization)) = authorizations.next().await {
            if authorization.refresh().await.is_err() {
                continue;
            }
            let challenges = authorization.challenges.iter();
            let errors = challenges.filter_map(|challenge| challenge.error.as_ref());
            found.extend(errors.map(|error| format!("{}: {error}", authorization.identifier())));
        }
        (!found.is_empty()).then(|| AcmeError {
            retry_after_s: self.transport.take_pause_s(),
            ..AcmeError::new(Stage::Validation, found.join("; "))
        })
    }

    async fn issue(&self, order: &mut Order) -> Result<Issued, AcmeError> {
        let request = request::make(&self.settings.domains);
        let request = request.map_err(|error| AcmeError::new(Stage::Issue, error))?;
        let failed = |error: Error| self.failed(Stage::Issue, &error);
        order.finalize_csr(&request.der).await.map_err(failed)?;
        let chain = order.poll_certificate(&patience()).await.map_err(failed)?;
        Ok(Issued {
            chain,
            key: request.key,
        })
    }

    /// When the authority wants a certificate renewed, and after how many seconds to ask again; none if it does not
    /// say such things.
    pub(super) async fn renewal_info(
        &self,
        leaf: &X509Ref,
    ) -> Result<Option<(Window, u64)>, AcmeError> {
        let Some(identifier) = identifier(leaf) else {
            return Ok(None);
        };
        match self.account.renewal_info(&identifier).await {
            Ok((info, again)) => {
                let window = Window {
                    start: info.suggested_window.start.unix_timestamp(),
                    end: info.suggested_window.end.unix_timestamp(),
                };
                let again = again
                    .as_secs()
                    .clamp(*ASK_AGAIN_S.start(), *ASK_AGAIN_S.end());
                Ok(Some((window, again)))
            }
            Err(Error::Unsupported(_)) => Ok(None),
            Err(error) => Err(self.failed(Stage::RenewalInfo, &error)),
        }
    }

    fn kind(&self) -> ChallengeType {
        match self.settings.challenge {
            Challenge::Http01 => ChallengeType::Http01,
            Challenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
        }
    }

    fn failed(&self, stage: Stage, error: &Error) -> AcmeError {
        AcmeError {
            retry_after_s: self.transport.take_pause_s(),
            ..AcmeError::new(stage, error)
        }
    }
}

/// Looks after a quarter of a second, then ever less often; what the authority asks for goes before.
fn patience() -> RetryPolicy {
    RetryPolicy::new().backoff(1.5).timeout(VALIDATION)
}

fn is_no_account(problem: &Problem) -> bool {
    problem.r#type.as_deref() == Some(NO_ACCOUNT)
}

/// True if an order that replaces nothing would be refused as well.
fn is_final(problem: &Problem) -> bool {
    is_no_account(problem) || problem.r#type.as_deref() == Some(RATE_LIMITED)
}

/// What a certificate is called in RFC 9773 section 4.1; none without an authorityKeyIdentifier.
fn identifier(leaf: &X509Ref) -> Option<CertificateIdentifier<'static>> {
    let authority = BASE64_URL_SAFE_NO_PAD.encode(leaf.authority_key_id()?.as_slice());
    let mut serial = leaf.serial_number().to_bn().ok()?.to_vec();
    // DER's form: a leading zero keeps a positive number positive.
    if serial.first().is_none_or(|byte| *byte >= 0x80) {
        serial.insert(0, 0);
    }
    Some(CertificateIdentifier {
        authority_key_identifier: authority.into(),
        serial: BASE64_URL_SAFE_NO_PAD.encode(serial).into(),
    })
}
