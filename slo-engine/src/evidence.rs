//! Whether counts are evidence: the exact binomial tail.
//!
//! In: bad events out of a total, and the error ratio that the tier's threshold allows. Out: the
//! chance of at least that many bad events if errors occurred at that ratio. A small chance says that
//! they occur more often.

/// `P(X >= bad)` for `X` binomial with `total` trials of probability `ratio`.
#[must_use]
pub fn chance(total: u64, bad: u64, ratio: f64) -> f64 {
    if bad == 0 {
        return 1.0;
    }
    if bad > total || ratio <= 0.0 {
        return 0.0;
    }
    if ratio >= 1.0 {
        return 1.0;
    }
    // P(X >= k) is the regularized incomplete beta function I_p(k, n - k + 1).
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts beyond 2^53 differ by no visible chance"
    )]
    let (k, rest) = (bad as f64, (total - bad) as f64 + 1.0);
    regularized_beta(ratio, k, rest)
}

/// The fewest bad events out of `total` whose chance is at most `alpha`; `None` when not even all of
/// them are enough.
#[must_use]
pub fn bad_needed(total: u64, ratio: f64, alpha: f64) -> Option<u64> {
    if chance(total, total, ratio) > alpha || total == 0 {
        return None;
    }
    let (mut too_few, mut enough) = (0, total);
    while enough - too_few > 1 {
        let middle = too_few + (enough - too_few) / 2;
        if chance(total, middle, ratio) <= alpha {
            enough = middle;
        } else {
            too_few = middle;
        }
    }
    Some(enough)
}

/// What one part of a composite counted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Part {
    pub total: u64,
    pub bad: u64,
    /// How fast the composite burns when all events of this part are bad.
    pub burn_of_all: f64,
}

/// The chance at most of counts like these if the composite burned at `burn` and no faster. Each part tells, at a chance,
/// the least error ratio that its counts allow for; the chances of all add up (Bonferroni), and where those ratios
/// together burn faster, the composite does. Of one part this is [`chance`].
#[must_use]
pub fn chance_of_parts(parts: &[Part], burn: f64) -> f64 {
    let m = u32::try_from(parts.len()).map_or(f64::MAX, f64::from);
    let burns_at_least = |chance: f64| -> f64 {
        let least = |part: &Part| part.burn_of_all * least_ratio(part.total, part.bad, chance / m);
        parts.iter().map(least).sum()
    };
    // Between e^-40 and 1 on a scale of logarithms: 40 halvings leave less than any decision asks.
    let (mut too_small, mut enough) = (-40.0_f64, 0.0_f64);
    if burns_at_least(1.0) <= burn {
        return 1.0;
    }
    for _ in 0..40 {
        let middle = f64::midpoint(too_small, enough);
        if burns_at_least(middle.exp()) > burn {
            enough = middle;
        } else {
            too_small = middle;
        }
    }
    enough.exp()
}

/// Of each part the fewest bad events that are evidence beside what the others counted: with so many, the composite is known at
/// that chance to burn faster than `burn`. 0 where the others are evidence without it, `None` where not even all of its
/// events would be. Of one part this is [`bad_needed`].
#[must_use]
pub fn bad_needed_of_parts(parts: &[Part], burn: f64, alpha: f64) -> Vec<Option<u64>> {
    let alpha = alpha / u32::try_from(parts.len()).map_or(f64::MAX, f64::from);
    let shown: Vec<f64> = parts
        .iter()
        .map(|part| part.burn_of_all * least_ratio(part.total, part.bad, alpha))
        .collect();
    let others = |of: usize| -> f64 {
        let each = shown.iter().enumerate();
        each.filter(|(place, _)| *place != of).map(|(_, burn)| burn).sum()
    };
    parts
        .iter()
        .enumerate()
        .map(|(place, part)| match burn - others(place) {
            rest if rest < 0.0 => Some(0),
            rest => bad_needed(part.total, rest / part.burn_of_all, alpha),
        })
        .collect()
}

/// The least ratio at which so many bad events still have this chance (Clopper and Pearson's lower bound).
fn least_ratio(total: u64, bad: u64, alpha: f64) -> f64 {
    if bad == 0 || bad > total {
        return 0.0;
    }
    let (mut too_low, mut enough) = (0.0_f64, 1.0_f64);
    for _ in 0..40 {
        let middle = f64::midpoint(too_low, enough);
        if chance(total, bad, middle) >= alpha {
            enough = middle;
        } else {
            too_low = middle;
        }
    }
    too_low
}

/// `I_x(a, b)` by its continued fraction, on the side where that converges fast.
fn regularized_beta(x: f64, a: f64, b: f64) -> f64 {
    let front = |x: f64, a: f64, b: f64| {
        (a * x.ln() + b * (-x).ln_1p() + ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b)).exp() / a
    };
    if x < (a + 1.0) / (a + b + 2.0) {
        (front(x, a, b) * continued_fraction(x, a, b)).clamp(0.0, 1.0)
    } else {
        (1.0 - front(1.0 - x, b, a) * continued_fraction(1.0 - x, b, a)).clamp(0.0, 1.0)
    }
}

/// Lentz's method. Needs about `sqrt(max(a, b))` terms, so the bound is for counts beyond 10^12.
fn continued_fraction(x: f64, a: f64, b: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let away_from_zero = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / away_from_zero(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = d;
    for step in 1..1_000_000_u32 {
        let m = f64::from(step);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / away_from_zero(1.0 + even * d);
        c = away_from_zero(1.0 + even / c);
        fraction *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / away_from_zero(1.0 + odd * d);
        c = away_from_zero(1.0 + odd / c);
        let factor = d * c;
        fraction *= factor;
        if (factor - 1.0).abs() < 1e-14 {
            break;
        }
    }
    fraction
}

/// `ln(gamma(x))` for `x >= 1`, by Lanczos' approximation (g = 7, 9 terms): 15 digits.
fn ln_gamma(x: f64) -> f64 {
    const COEFFICIENTS: [f64; 8] = [
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    let x = x - 1.0;
    let mut sum = 0.999_999_999_999_809_9;
    let mut term = 1.0;
    for coefficient in COEFFICIENTS {
        sum += coefficient / (x + term);
        term += 1.0;
    }
    let t = x + 7.5;
    0.5 * (2.0 * std::f64::consts::PI).ln() + (x + 0.5) * t.ln() - t + sum.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Errors needed at 1 %, facts 3e: exact tail beside the raw ratio.
    #[test]
    fn the_counts_that_are_evidence_are_those_of_the_table() {
        for (threshold, rows) in [
            (14.4, [(10, 2), (30, 3), (60, 5), (100, 6), (300, 11), (1000, 25)]),
            (6.0, [(10, 2), (30, 3), (60, 3), (100, 4), (300, 7), (1000, 13)]),
        ] {
            for (total, needed) in rows {
                assert_eq!(
                    bad_needed(total, threshold * 0.001, 0.01),
                    Some(needed),
                    "k={threshold}, n={total}"
                );
            }
        }
    }

    #[test]
    fn one_bad_of_ten_is_no_evidence() {
        // Facts 3e: P(X >= 1 | n = 10, p = 0.0144) = 0.135.
        assert!((chance(10, 1, 0.0144) - 0.135).abs() < 0.000_5);
    }

    #[test]
    fn the_tail_equals_the_sum_of_its_terms() {
        for (total, ratio) in [
            (1_u32, 0.5_f64),
            (7, 0.3),
            (60, 0.0144),
            (200, 0.9),
            (1000, 0.006),
        ] {
            let mut term = (f64::from(total) * (-ratio).ln_1p()).exp();
            let mut below = 0.0;
            for bad in 0..=total {
                let exact = 1.0 - below;
                let found = chance(u64::from(total), u64::from(bad), ratio);
                assert!(
                    (found - exact).abs() < 1e-10,
                    "n={total} p={ratio} k={bad}: {found} is not {exact}"
                );
                below += term;
                term *= f64::from(total - bad) / f64::from(bad + 1) * ratio / (1.0 - ratio);
            }
        }
    }

    fn part(total: u64, bad: u64, burn_of_all: f64) -> Part {
        Part {
            total,
            bad,
            burn_of_all,
        }
    }

    #[test]
    fn a_part_alone_is_tested_as_an_objective_is() {
        for (total, bad, budget, burn) in [(10, 1, 0.001, 14.4), (60, 5, 0.001, 6.0), (1000, 25, 0.01, 1.5)] {
            let alone = chance_of_parts(&[part(total, bad, 1.0 / budget)], burn);
            let exact = chance(total, bad, budget * burn);
            assert!((alone - exact).abs() < 1e-6, "{alone} is not {exact}");
        }
    }

    /// The least chance that any test of two parts could claim is that of the one that says most; adding up the chances
    /// of both, one that says nothing costs a factor of two at most.
    #[test]
    fn parts_are_evidence_together_and_a_calm_one_takes_little_away() {
        let bad = part(1000, 30, 1000.0);
        let alone = chance_of_parts(&[bad], 14.4);
        let beside_calm = chance_of_parts(&[bad, part(100_000, 0, 1000.0)], 14.4);
        assert!((beside_calm / alone - 2.0).abs() < 1e-3, "{beside_calm} {alone}");
        let both = chance_of_parts(&[bad, part(1000, 30, 1000.0)], 14.4);
        assert!(both < alone, "{both} {alone}");
        assert!(
            (chance_of_parts(&[part(0, 0, 1000.0), part(5, 0, 1000.0)], 14.4) - 1.0).abs() < f64::EPSILON
        );
    }

    /// One bad event less is no evidence, whatever the other part counted.
    #[test]
    fn what_each_part_needs_is_what_decides() {
        let alone = bad_needed_of_parts(&[part(1000, 7, 1000.0)], 14.4, 0.01);
        assert_eq!(alone, [bad_needed(1000, 0.0144, 0.01)]);
        for (total, bad, beside) in [(1000, 3, 0), (1000, 9, 40), (400, 2, 3), (60, 1, 25)] {
            let parts = [part(total, bad, 200.0), part(300, beside, 10.0)];
            let needed = bad_needed_of_parts(&parts, 2.0, 0.01)[0].unwrap();
            let chance = |bad| chance_of_parts(&[part(total, bad, 200.0), parts[1]], 2.0);
            assert!(chance(needed) <= 0.01 + 1e-9, "{needed}");
            assert!(needed == 0 || chance(needed - 1) > 0.01, "{needed}");
        }
        // Its own three requests could show nothing, and what it counted is enough without them.
        let others = |bad| bad_needed_of_parts(&[part(3, 0, 10.0), part(1000, bad, 200.0)], 20.0, 0.01)[0];
        assert_eq!((others(0), others(300)), (None, Some(0)));
    }

    #[test]
    fn the_edges_have_answers() {
        assert_eq!(bad_needed(0, 0.1, 0.01), None);
        assert_eq!(bad_needed(3, 0.9, 0.01), None);
        assert!((chance(10, 0, 0.1) - 1.0).abs() < f64::EPSILON);
        assert!(chance(10, 11, 0.1) < f64::EPSILON);
        assert!((chance(10, 10, 1.0) - 1.0).abs() < f64::EPSILON);
        // A billion requests: quick, and still a chance.
        let half = chance(1_000_000_000, 14_400_000, 0.0144);
        assert!((0.49..0.51).contains(&half), "{half}");
    }
}
