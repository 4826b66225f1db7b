//! Objectives with their budgets.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use sqlx::PgPool;
use sqlx::postgres::types::PgInterval;

use super::estimate::estimates;
use super::ownership::of_row;
use super::{Backfill, BudgetAlertState, Burn, FastPageState, Slo, SloCourse, SloKind, SloState, TierState};
use crate::alert::AlertState;
use crate::engine::EngineError;
use crate::evaluate::{BudgetInput, DATA_OUTAGE, EvaluationInput, PartCounts, Rules, spending};
use crate::objective::{ObjectiveName, Sli, SliKind, Target};
use crate::partly::{self, Partly};
use crate::sequential::{FAST_PAGE, FastPage, Sequential};
use crate::store::evaluation::Tiers;
use crate::store::{
    WindowRow, budget_alert, convert, count, evaluation, interval, look_up, micros, parse, span,
};
use crate::window::WindowCounts;

/// Points of a course: a finer step is widened, so that no request asks for more.
pub const COURSE_MAX: u32 = 1000;

#[derive(Debug)]
struct Row {
    name: String,
    display_name: String,
    description: String,
    evidence: Option<String>,
    owner: Option<String>,
    runbook_url: Option<String>,
    service: String,
    sli: String,
    target: Decimal,
    period: PgInterval,
    good: i64,
    bad: i64,
    from_at: DateTime<Utc>,
    to_at: DateTime<Utc>,
    expected_ms: i64,
    covered_ms: i64,
    lost: i64,
    remaining: Decimal,
    allowed: Decimal,
    unit: i64,
    method: String,
    slice: Option<PgInterval>,
    period_from_at: DateTime<Utc>,
    period_to_at: DateTime<Utc>,
    fast_burn_rate: Option<Decimal>,
    false_pages_a_year: Option<Decimal>,
    rate_min: Option<Decimal>,
    statistic: Option<f64>,
    fast_state: Option<String>,
    part_of: Option<String>,
    lacks_data: bool,
    started_at: DateTime<Utc>,
    counted_from_at: DateTime<Utc>,
    backfill_from_at: Option<DateTime<Utc>>,
}

/// Every objective that is defined, by name.
///
/// # Errors
/// When the database fails; with the others, when some cannot be read.
pub async fn slos(pool: &PgPool, now: DateTime<Utc>) -> Result<Vec<Slo>, Partly<Slo>> {
    read(pool, None, now).await
}

/// One objective; `None` when there is none of this name.
///
/// # Errors
/// When the database fails.
pub async fn slo(
    pool: &PgPool,
    name: &ObjectiveName,
    now: DateTime<Utc>,
) -> Result<Option<Slo>, EngineError> {
    Ok(read(pool, Some(name), now).await?.pop())
}

async fn read(
    pool: &PgPool,
    name: Option<&ObjectiveName>,
    now: DateTime<Utc>,
) -> Result<Vec<Slo>, Partly<Slo>> {
    let now = micros(now);
    // What a definition states comes with what is read.
    let rules = Rules::default();
    // Two statements: planned as one, that for one objective reads all definitions.
    macro_rules! rows {
        ($budgets:tt) => {
            sqlx::query_as!(
                Row,
                r#"select o.name, d.display_name, d.description, d.evidence, d.owner, d.runbook_url, s.name as service, g.sli, d.target, d.period,
                  w.good as "good!", w.bad as "bad!", w.from_at as "from_at!", w.to_at as "to_at!",
                  w.expected_ms as "expected_ms!", w.covered_ms as "covered_ms!", w.lost as "lost!",
                  w.remaining as "remaining!", w.allowed as "allowed!", w.counted as "unit!", g.method, g.slice,
                  w.period_from_at as "period_from_at!", w.period_to_at as "period_to_at!",
                  p.burn_rate as "fast_burn_rate?", p.false_pages_a_year as "false_pages_a_year?",
                  p.rate_min as "rate_min?", e.statistic as "statistic?", a.state as "fast_state?",
                  (select c.name
                   from objective_part q
                   join objective c using (objective_id, generation)
                   where q.part_id = o.objective_id and q.part_generation = o.generation
                     and c.withdrawn_at is null
                   limit 1) as part_of,
                  -- Nobody is told of a part's missing data: its composite is.
                  exists (
                      select from alert x
                      where x.tier = $4 and x.state = 'firing' and (
                          x.objective_id = o.objective_id
                          or x.objective_id in (
                              select q.objective_id
                              from objective_part q
                              join objective c using (objective_id, generation)
                              where q.part_id = o.objective_id and q.part_generation = o.generation
                          )
                      )
                  ) as "lacks_data!",
                  g.started_at, coalesce(g.counted_from_at, g.started_at) as "counted_from_at!",
                  b.from_at as "backfill_from_at?"
           from "# + $budgets + r#" w
           join objective o using (objective_id)
           join objective_definition d on d.objective_id = o.objective_id and d.from_at = o.defined_at
           join objective_generation g on g.objective_id = o.objective_id and g.generation = o.generation
           join service s using (service_id)
           left join backfill b
               on b.objective_id = o.objective_id and b.generation = o.generation and b.finished_at is null
           left join objective_fast_page p on p.objective_id = o.objective_id and p.from_at = o.defined_at
           left join excursion e on e.objective_id = o.objective_id and e.generation = o.generation
           left join alert a on a.objective_id = o.objective_id and a.tier = $3 and a.state <> 'resolved'
           where o.withdrawn_at is null and case when $2::text is null then true else o.name = $2 end
           order by o.name"#,
                now,
                name.map(ObjectiveName::as_str),
                FAST_PAGE,
                DATA_OUTAGE
            )
            .fetch_all(&mut *look_up(pool).await?)
            .await?
        };
    }
    let rows = if name.is_none() {
        rows!("error_budgets($1)")
    } else {
        rows!(
            "(select o.objective_id, b.*
              from objective o cross join lateral error_budget(o.name, greatest($1::timestamptz, o.defined_at)) b
              where o.name = $2)"
        )
    };
    let mut tiers: HashMap<ObjectiveName, Vec<EvaluationInput>> = HashMap::new();
    let mut of_parts: HashMap<ObjectiveName, Vec<Burn>> = HashMap::new();
    let whole = match (name, rows.first().and_then(|row| row.part_of.as_deref())) {
        (Some(_), Some(whole)) => {
            let whole = parse("objective.name", whole)?;
            evaluation::inputs(pool, &rules, Tiers::Of(&whole), now)
                .await
                .map_err(EngineError::from)?
        }
        _ => Vec::new(),
    };
    let asked = name.map_or(Tiers::All, Tiers::Of);
    let (inputs, left_out) = Partly::apart(evaluation::inputs(pool, &rules, asked, now).await)?;
    for input in whole.into_iter().chain(inputs) {
        if !input.withdrawn {
            for part in &input.parts {
                let burn = burn_of_part(part, &input);
                of_parts.entry(part.objective.clone()).or_default().push(burn);
            }
            tiers.entry(input.objective.clone()).or_default().push(input);
        }
    }
    let mut budgets: HashMap<ObjectiveName, Vec<BudgetAlertState>> = HashMap::new();
    let (inputs, too) = Partly::apart(budget_alert::inputs(pool, &rules, name, now).await)?;
    let left_out = partly::both(left_out, too);
    for input in inputs {
        let of = budgets.entry(input.objective.clone()).or_default();
        of.push(budget_alert_state(&input));
    }
    let mut estimates = estimates(pool, name, now).await?;
    // Of whom one tier cannot be read, nothing is told: what is known would pass for all.
    let rows: Vec<_> = match &left_out {
        Some(EngineError::LeftOut { names, .. }) => {
            let names: HashSet<_> = names.iter().map(|one| &one.name).collect();
            (rows.into_iter())
                .filter(|row| !names.contains(&row.name))
                .collect()
        }
        _ => rows,
    };
    let read = partly::read(
        &rows,
        |row| row.name.clone(),
        |row| {
            let name: ObjectiveName = parse("objective.name", &row.name)?;
            let estimated = estimates.remove(&name);
            let budget_alerts = budgets.remove(&name).unwrap_or_default();
            let mut inputs = tiers.remove(&name).unwrap_or_default();
            inputs.sort_by_key(|input| (input.tier.severity, input.tier.long));
            let mut burns = of_parts.remove(&name).unwrap_or_default();
            burns.sort_by_key(|burn| burn.window);
            burns.dedup_by_key(|burn| burn.window);
            let slo = row.slo(name, &inputs, burns, budget_alerts)?;
            Ok(Slo { estimated, ..slo })
        },
    );
    let (mut slos, too) = Partly::apart(read)?;
    look_ahead(pool, &mut slos, now).await?;
    Partly::of(slos, partly::both(left_out, too))
}

/// Adds when budgets are exhausted, of those that burn faster than what remains of them: no other is, within a period.
async fn look_ahead(pool: &PgPool, slos: &mut [Slo], now: DateTime<Utc>) -> Result<(), EngineError> {
    let pace = |slo: &Slo| {
        let of_tier = slo.tiers.first().map(|tier| (tier.long, tier.burn_rate_long));
        let (window, burn_rate) = of_tier.or(slo.burn.first().map(|burn| (burn.window, burn.burn_rate)))?;
        (burn_rate > slo.budget_remaining && slo.budget_remaining > Decimal::ZERO).then(|| interval(window))
    };
    let (names, paces): (Vec<_>, Vec<_>) = slos
        .iter()
        .filter_map(|slo| Some((slo.name.to_string(), pace(slo)?)))
        .unzip();
    if names.is_empty() {
        return Ok(());
    }
    let found = sqlx::query!(
        r#"select a.name as "name!", x.at as "at?"
           from unnest($1::text[], $2::interval[]) a (name, pace)
           left join lateral budget_exhaustion(a.name, $3, a.pace) x on true"#,
        &names,
        &paces,
        now
    )
    .fetch_all(&mut *look_up(pool).await?)
    .await?;
    let found: HashMap<_, _> = found.into_iter().map(|row| (row.name, row.at)).collect();
    for slo in slos {
        slo.exhausts_at = found.get(slo.name.as_str()).copied().flatten();
    }
    Ok(())
}

impl Row {
    fn slo(
        &self,
        name: ObjectiveName,
        inputs: &[EvaluationInput],
        as_part: Vec<Burn>,
        budget_alerts: Vec<BudgetAlertState>,
    ) -> Result<Slo, EngineError> {
        let target: Target = convert("objective_definition.target", self.target)?;
        let sli: Sli = parse("objective_generation.sli", &self.sli)?;
        let period = span("objective_definition.period", &self.period)?;
        let counts = WindowCounts::try_from(WindowRow {
            good: self.good,
            bad: self.bad,
            from_at: self.from_at,
            to_at: self.to_at,
            expected_ms: self.expected_ms,
            covered_ms: self.covered_ms,
            lost: self.lost,
        })?;
        let remaining = self.remaining;
        let fast_page = fast_page(
            target,
            (self.fast_burn_rate, self.false_pages_a_year, self.rate_min),
            self.statistic,
            self.fast_state.as_deref(),
        )?;
        let of_tier = inputs.first().map(|input| input.long.burn_rate(target));
        let fastest = of_tier
            .or(as_part.first().map(|burn| burn.burn_rate))
            .unwrap_or_default();
        let slice = self
            .slice
            .as_ref()
            .map(|slice| span("objective_generation.slice", slice))
            .transpose()?;
        Ok(Slo {
            service: parse("service.name", &self.service)?,
            display_name: self.display_name.clone(),
            description: self.description.clone(),
            kind: kind(&sli),
            target,
            threshold: match sli.kind {
                SliKind::Latency { threshold, .. } => Some(threshold),
                SliKind::Ratio { .. } | SliKind::Retransmits | SliKind::Composite(_) => None,
            },
            parts: match sli.kind {
                SliKind::Composite(parts) => parts,
                SliKind::Ratio { .. } | SliKind::Latency { .. } | SliKind::Retransmits => Vec::new(),
            },
            part_of: self
                .part_of
                .as_deref()
                .map(|name| parse("objective.name", name))
                .transpose()?,
            period,
            sli: counts
                .error_ratio()
                .map(|ratio| (Decimal::ONE - ratio).round_dp(12).normalize()),
            budget_remaining: remaining.normalize(),
            budget_spent_events: counts.bad,
            budget_total_events: self.allowed.normalize(),
            period_from: self.period_from_at,
            period_to: self.period_to_at,
            backfill: self.backfill_from_at.map(|from| Backfill {
                from,
                done_to: self.counted_from_at,
                to: self.started_at,
            }),
            estimated: None,
            ownership: of_row(self.owner.as_deref(), self.runbook_url.as_deref())?,
            evidence: evaluation::gate(self.evidence.as_deref())?.unwrap_or_default(),
            unit: count("slice_unit", self.unit)?,
            method: self.method.clone(),
            slice,
            burn: if inputs.is_empty() {
                as_part
            } else {
                burn(target, inputs)
            },
            state: if is_firing(inputs, fast_page.as_ref()) {
                SloState::Firing
            } else if self.lacks_data {
                SloState::NoData
            } else {
                state(&counts, remaining, fastest, inputs)
            },
            fast_page,
            budget_alerts,
            exhausts_at: None,
            tiers: inputs.iter().map(|input| tier(target, input)).collect(),
            counts,
            name,
        })
    }
}

fn kind(sli: &Sli) -> SloKind {
    match &sli.kind {
        SliKind::Latency { .. } => SloKind::Latency,
        SliKind::Retransmits => SloKind::Retransmits,
        SliKind::Composite(_) => SloKind::Composite,
        kind if *kind == Sli::availability().kind => SloKind::Availability,
        SliKind::Ratio { .. } => SloKind::Ratio,
    }
}

fn burn(target: Target, inputs: &[EvaluationInput]) -> Vec<Burn> {
    let mut windows: BTreeMap<Duration, &WindowCounts> = BTreeMap::new();
    for input in inputs {
        windows.insert(input.tier.long, &input.long);
        windows.insert(input.tier.short, &input.short);
    }
    windows
        .into_iter()
        .map(|(window, counts)| Burn {
            window,
            burn_rate: counts.burn_rate(target),
            counts: counts.clone(),
        })
        .collect()
}

/// A part has no tiers: it is looked at as its composite's look at it.
fn burn_of_part(part: &PartCounts, whole: &EvaluationInput) -> Burn {
    let counts = part.over(&whole.long);
    Burn {
        window: whole.tier.long,
        burn_rate: counts.burn_rate(part.target),
        counts,
    }
}

fn tier(target: Target, input: &EvaluationInput) -> TierState {
    TierState {
        name: input.tier.name.clone(),
        severity: input.tier.severity,
        long: input.tier.long,
        short: input.tier.short,
        threshold: input.tier.burn_rate,
        burn_rate_long: input.long.burn_rate(target),
        burn_rate_short: input.short.burn_rate(target),
        state: input.open.map(|open| open.state),
        frozen_since: input.frozen_since,
    }
}

fn fast_page(
    target: Target,
    numbers: (Option<Decimal>, Option<Decimal>, Option<Decimal>),
    statistic: Option<f64>,
    state: Option<&str>,
) -> Result<Option<FastPageState>, EngineError> {
    let (Some(burn_rate), Some(false_pages_a_year), Some(rate_min)) = numbers else {
        return Ok(None);
    };
    let page = FastPage {
        burn_rate: convert("objective_fast_page.burn_rate", burn_rate)?,
        false_pages_a_year,
        rate_min,
    };
    let test = Sequential::new(target, &page);
    Ok(Some(FastPageState {
        bad_needed: test.bad_needed(),
        evidence: statistic.unwrap_or(0.0) / test.limit,
        state: state.map(|state| parse("alert.state", state)).transpose()?,
        page,
    }))
}

fn budget_alert_state(input: &BudgetInput) -> BudgetAlertState {
    BudgetAlertState {
        name: input.alert.name.clone(),
        severity: input.alert.severity,
        spending: spending(input),
        state: input.open.map(|open| open.state),
        frozen_since: input.frozen_since,
    }
}

/// Alerts on the burn rate: one on the budget fires for as long as it is spent, and would hide that it is.
fn is_firing(inputs: &[EvaluationInput], fast_page: Option<&FastPageState>) -> bool {
    let tiers = inputs.iter().map(|input| input.open.map(|open| open.state));
    tiers
        .chain(fast_page.map(|page| page.state))
        .any(|state| state == Some(AlertState::Firing))
}

fn state(
    counts: &WindowCounts,
    remaining: Decimal,
    fastest: Decimal,
    inputs: &[EvaluationInput],
) -> SloState {
    if counts.coverage().is_none() || inputs.iter().any(|input| input.short.coverage().is_none()) {
        SloState::NoData
    } else if counts.bad > 0 && remaining <= Decimal::ZERO {
        SloState::Exhausted
    } else if fastest > Decimal::ONE {
        SloState::Burning
    } else {
        SloState::Ok
    }
}

/// Budget and burn rate over time; `None` when no objective has the name. At most [`COURSE_MAX`]
/// points.
///
/// # Errors
/// When the database fails.
pub async fn slo_series(
    pool: &PgPool,
    name: &ObjectiveName,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    step: Duration,
) -> Result<Option<SloCourse>, EngineError> {
    let exists = sqlx::query_scalar!(
        r#"select exists (select from objective where name = $1) as "exists!""#,
        name.as_str()
    )
    .fetch_one(pool)
    .await?;
    if !exists {
        return Ok(None);
    }
    let length = (to - from).to_std().unwrap_or_default();
    let step = step.max(length / COURSE_MAX).max(Duration::from_secs(1));
    let rows = sqlx::query!(
        r#"select at as "at!", budget_remaining, burn_rate, good as "good!", bad as "bad!", coverage
           from budget_series($1, $2, $3, $4)
           order by at"#,
        name.as_str(),
        micros(from),
        micros(to),
        interval(step)
    )
    .fetch_all(&mut *look_up(pool).await?)
    .await?;
    let mut course = SloCourse::default();
    for row in rows {
        course.at.push(row.at);
        course.budget_remaining.push(row.budget_remaining);
        course.burn_rate.push(row.burn_rate);
        course.good.push(count("good", row.good)?);
        course.bad.push(count("bad", row.bad)?);
        course.coverage.push(row.coverage);
    }
    Ok(Some(course))
}
