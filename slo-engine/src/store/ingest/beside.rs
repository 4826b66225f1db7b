//! What travels beside the counters: losses and gauges.

use std::collections::HashMap;

use sqlx::PgConnection;

use super::counters::Booked;
use super::{Ingest, holding};
use crate::engine::EngineError;
use crate::measurement::{GaugeReading, Loss, LossReason};
use crate::store::booking::{Head, book};
use crate::store::memory::Generation;
use crate::store::{count, micros};

impl Ingest {
    /// Losses count for the objectives of their service; where nobody knows whose they were, for all
    /// that the source watches. What has no name belongs to nobody's objective.
    pub(super) async fn losses(
        &mut self,
        connection: &mut PgConnection,
        losses: &[Loss],
    ) -> Result<(), EngineError> {
        for loss in losses {
            let service_id = loss
                .service
                .as_ref()
                .map(|name| self.known.service(name))
                .transpose()?;
            let head = sqlx::query!(
                "select started_at, at, value from loss_head
                 where source_id = $1 and service_id is not distinct from $2 and reason = $3",
                self.source.source_id,
                service_id,
                loss.reason.as_str()
            )
            .fetch_optional(&mut *connection)
            .await?;
            let head = head
                .map(|row| {
                    Ok::<_, EngineError>(Head {
                        started_at: row.started_at,
                        at: row.at,
                        value: count("loss_head.value", row.value)?,
                    })
                })
                .transpose()?;
            let now = Head {
                started_at: micros(loss.start_time),
                at: self.moment.at,
                value: loss.value,
            };
            let lost = match self.note(book(head.as_ref(), &now, self.source.first_contact_at)) {
                Booked::Nothing => continue,
                Booked::Rests => {
                    self.told.loss(loss);
                    continue;
                }
                Booked::Head => 0,
                Booked::Counted(value) => i64::try_from(value).unwrap_or(i64::MAX),
            };
            self.told.loss(loss);
            let value = i64::try_from(loss.value).unwrap_or(i64::MAX);
            sqlx::query!(
                "insert into loss_head (source_id, service_id, reason, started_at, at, value)
                 values ($1, $2, $3, $4, $5, $6)
                 on conflict on constraint loss_head_key do update
                 set started_at = excluded.started_at, at = excluded.at, value = excluded.value",
                self.source.source_id,
                service_id,
                loss.reason.as_str(),
                now.started_at,
                now.at,
                value
            )
            .execute(&mut *connection)
            .await?;
            if lost > 0 {
                sqlx::query!(
                    "insert into loss (source_id, service_id, reason, at, count) values ($1, $2, $3, $4, $5)
                     on conflict on constraint loss_key do update set count = loss.count + excluded.count",
                    self.source.source_id,
                    service_id,
                    loss.reason.as_str(),
                    self.moment.slot_end,
                    lost
                )
                .execute(&mut *connection)
                .await?;
                if loss.reason.is_of_requests() {
                    self.unseen.lose(service_id, loss.reason, lost);
                }
                self.lose(service_id, loss.reason, lost);
            }
        }
        Ok(())
    }

    fn lose(&mut self, service_id: Option<i64>, reason: LossReason, lost: i64) {
        let at = self.moment.booked_at;
        let concerns = |generation: &&Generation| super::unseen::concerns(reason, &generation.sli);
        for ((service, _), generations) in &self.known.generations {
            if service_id.is_none_or(|wanted| wanted == *service) {
                for generation in holding(generations, at).filter(concerns) {
                    self.deltas
                        .entry((generation.objective_id, generation.generation))
                        .or_default()
                        .lost += lost;
                }
            }
        }
    }

    pub(super) async fn gauges(
        &self,
        connection: &mut PgConnection,
        gauges: &[GaugeReading],
    ) -> Result<(), EngineError> {
        let gauges: HashMap<_, _> = gauges
            .iter()
            .filter(|reading| reading.value.is_finite())
            .map(|reading| ((&reading.service, reading.role, reading.gauge), reading.value))
            .collect();
        if gauges.is_empty() {
            return Ok(());
        }
        let services = gauges
            .keys()
            .map(|(name, ..)| self.known.service(name))
            .collect::<Result<Vec<_>, _>>()?;
        sqlx::query!(
            "insert into gauge (source_id, service_id, role, gauge, at, value)
             select $1, service_id, role, gauge, $2, value
             from unnest($3::bigint[], $4::text[], $5::text[], $6::double precision[])
                 as t (service_id, role, gauge, value)
             on conflict on constraint gauge_pkey do update
             set at = excluded.at, value = excluded.value
             where gauge.at < excluded.at",
            self.source.source_id,
            self.moment.booked_at,
            &services,
            &gauges
                .keys()
                .map(|(_, role, _)| role.as_str())
                .collect::<Vec<_>>() as &[&str],
            &gauges
                .keys()
                .map(|(.., gauge)| gauge.as_str())
                .collect::<Vec<_>>() as &[&str],
            &gauges.values().copied().collect::<Vec<_>>(),
        )
        .execute(connection)
        .await?;
        Ok(())
    }
}
