//! A search for the worst request: hill climbing over strings made of pieces, the same for the same seed.

use super::Case;
use super::corpus::{self, Noise};

/// A part of a string that is repeated.
#[derive(Clone, Debug)]
enum Gene {
    /// As it is.
    Text(Vec<u8>),
    /// Noise out of a few bytes, different every time.
    Noise(Vec<u8>, usize),
}

/// Where the string goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Form,
    Arguments,
    Cookie,
    Field,
    Target,
    Json,
    Xml,
    Attributes,
    Answer,
}

const PLACES: [Place; 9] = [
    Place::Form,
    Place::Arguments,
    Place::Cookie,
    Place::Field,
    Place::Target,
    Place::Json,
    Place::Xml,
    Place::Attributes,
    Place::Answer,
];

/// Most genes of a string.
const GENES: usize = 10;

/// A string, as the search changes it.
#[derive(Clone, Debug)]
pub struct Genome {
    genes: Vec<Gene>,
    place: Place,
    seed: u64,
}

impl Genome {
    /// A string of a few pieces.
    pub fn random(noise: &mut Noise, pieces: &[Vec<u8>]) -> Self {
        let count = 1 + noise.below(GENES);
        Self {
            genes: (0..count).map(|_| gene(noise, pieces)).collect(),
            place: PLACES
                .get(noise.below(PLACES.len()))
                .copied()
                .unwrap_or(Place::Form),
            seed: noise.below(1 << 20) as u64,
        }
    }

    /// A neighbour.
    pub fn changed(&self, noise: &mut Noise, pieces: &[Vec<u8>]) -> Self {
        let mut next = self.clone();
        for _ in 0..=noise.below(2) {
            let at = noise.below(next.genes.len().max(1));
            match noise.below(7) {
                0 if next.genes.len() < GENES => next.genes.insert(at, gene(noise, pieces)),
                1 if next.genes.len() > 1 => {
                    next.genes.remove(at);
                }
                2 => {
                    if let Some(place) = PLACES.get(noise.below(PLACES.len())) {
                        next.place = *place;
                    }
                }
                3 => match next.genes.get_mut(at) {
                    Some(Gene::Text(text)) => {
                        let cut = noise.below(text.len().max(1));
                        text.truncate(cut.max(1));
                    }
                    Some(Gene::Noise(_, count)) => *count = 1 + noise.below(200),
                    None => {}
                },
                4 => match next.genes.get_mut(at) {
                    Some(Gene::Text(text) | Gene::Noise(text, _)) => {
                        let byte = SPECIAL.get(noise.below(SPECIAL.len())).copied();
                        let place = noise.below(text.len() + 1);
                        text.insert(place.min(text.len()), byte.unwrap_or(b'a'));
                    }
                    None => {}
                },
                _ => {
                    if let Some(place) = next.genes.get_mut(at) {
                        *place = gene(noise, pieces);
                    }
                }
            }
        }
        next
    }

    /// The string, this long.
    pub fn text(&self, size: usize) -> Vec<u8> {
        let mut noise = Noise::new(self.seed);
        let mut out = Vec::with_capacity(size + 256);
        while out.len() < size && !self.genes.is_empty() {
            for gene in &self.genes {
                match gene {
                    Gene::Text(text) => out.extend_from_slice(text),
                    Gene::Noise(of, count) => out.extend(noise.bytes(of, *count)),
                }
                out.push(b' ');
                out.pop();
            }
        }
        out.truncate(size);
        out
    }

    /// The request.
    pub fn case(&self, size: usize) -> Case {
        let text = self.text(size);
        let name = "found by search";
        let attacks = "whatever is worst";
        let lines = |between: &[u8], each: usize| {
            text.chunks(each.max(1)).collect::<Vec<_>>().join(between)
        };
        let escaped = |bytes: &[u8], bad: &[u8]| -> Vec<u8> {
            bytes
                .iter()
                .map(|byte| {
                    if bad.contains(byte) || *byte < 32 {
                        b' '
                    } else {
                        *byte
                    }
                })
                .collect()
        };
        match self.place {
            Place::Form => corpus::form(name, attacks, &text),
            Place::Arguments => {
                let each = (size / 900).max(4);
                corpus::form(name, attacks, &lines(b"&a=", each))
            }
            Place::Json => {
                let text = escaped(&text, b"\"\\");
                corpus::post(
                    name,
                    attacks,
                    "application/json",
                    [b"{\"a\":\"", &text[..], b"\"}"].concat(),
                )
            }
            Place::Xml => {
                let text = escaped(&text, b"<&");
                corpus::post(
                    name,
                    attacks,
                    "text/xml",
                    [b"<a>", &text[..], b"</a>"].concat(),
                )
            }
            Place::Attributes => {
                let text = escaped(&text, b"<&'");
                let values = text.chunks(9).collect::<Vec<_>>().join(&b"' a='"[..]);
                corpus::post(
                    name,
                    attacks,
                    "text/xml",
                    [b"<a a='", &values[..], b"'/>"].concat(),
                )
            }
            Place::Cookie | Place::Field => {
                let field: &[u8] = if self.place == Place::Cookie {
                    b"Cookie"
                } else {
                    b"Referer"
                };
                let mut case = corpus::form(name, attacks, b"");
                case.fields.push((field.to_vec(), escaped(&text, b"")));
                case
            }
            Place::Target => {
                let mut case = corpus::form(name, attacks, b"");
                case.target = [b"/?", &escaped(&text, b" ")[..]].concat();
                case
            }
            Place::Answer => {
                let mut case = corpus::form(name, attacks, b"");
                case.answer = text;
                case
            }
        }
    }
}

const SPECIAL: &[u8] = b"'\"`<>()[]{}$%&=+-*/\\|;:,.!?#@^~_ \n\r\t\0ab019\x80\xc2\xff";

fn gene(noise: &mut Noise, pieces: &[Vec<u8>]) -> Gene {
    match noise.below(4) {
        0 => {
            let count = 2 + noise.below(8);
            Gene::Noise(noise.bytes(SPECIAL, count), 1 + noise.below(60))
        }
        1 => {
            let count = 1 + noise.below(4);
            Gene::Text(noise.bytes(SPECIAL, count))
        }
        _ => Gene::Text(
            pieces
                .get(noise.below(pieces.len()))
                .cloned()
                .unwrap_or_default(),
        ),
    }
}

/// Climbs from several places while `goes_on`; gives the best genome and its score.
pub fn climb(
    seed: u64,
    pieces: &[Vec<u8>],
    mut goes_on: impl FnMut(u32) -> bool,
    mut score: impl FnMut(&Genome) -> f64,
) -> (Genome, f64) {
    /// Steps without gain after which the search begins elsewhere.
    const PATIENCE: u32 = 60;
    let mut noise = Noise::new(seed);
    let mut best = Genome::random(&mut noise, pieces);
    let mut best_score = score(&best);
    let (mut here, mut here_score, mut idle) = (best.clone(), best_score, 0);
    let mut step = 0;
    while goes_on(step) {
        step += 1;
        let next = if idle > PATIENCE {
            idle = 0;
            here_score = 0.0;
            Genome::random(&mut noise, pieces)
        } else {
            here.changed(&mut noise, pieces)
        };
        let next_score = score(&next);
        idle += 1;
        if next_score > here_score {
            (here, here_score, idle) = (next, next_score, 0);
            if here_score > best_score {
                (best, best_score) = (here.clone(), here_score);
            }
        }
    }
    (best, best_score)
}
