-- What no definition states and nobody could read: NaN, an infinity, or more digits than a decimal of the engine has. One such
-- number, written by hand, fails the statement that reads all objectives, so that none is judged; now it is not taken. NaN
-- and infinity are above every number. What stands already is not looked at: no start fails for it.
alter table objective_definition
    add constraint objective_definition_target_digits check (scale(target) <= 28) not valid;
alter table objective_generation
    add constraint objective_generation_slice_target_known
        check (slice_target between 0 and 1 and scale(slice_target) <= 28) not valid;
alter table objective_tier
    add constraint objective_tier_burn_rate_known
        check (burn_rate between 0 and 1000000000 and scale(burn_rate) <= 28) not valid,
    add constraint objective_tier_budget_share_known
        check (budget_share between 0 and 1 and scale(budget_share) <= 28) not valid;
alter table objective_fast_page
    add constraint objective_fast_page_burn_rate_known
        check (burn_rate between 0 and 1000000000 and scale(burn_rate) <= 28) not valid,
    add constraint objective_fast_page_false_pages_a_year_known
        check (false_pages_a_year between 0 and 1000000000 and scale(false_pages_a_year) <= 28) not valid,
    add constraint objective_fast_page_rate_min_known
        check (rate_min between 0 and 1000000000 and scale(rate_min) <= 28) not valid;
alter table objective_missing_data
    add constraint objective_missing_data_coverage_min_known
        check (coverage_min between 0 and 1 and scale(coverage_min) <= 28) not valid;
alter table objective_part
    add constraint objective_part_weight_known
        check (weight <= 1000000000 and scale(weight) <= 28) not valid;
-- Of these, NaN is read, and passes for evidence.
alter table excursion
    add constraint excursion_statistic_known check (statistic < 'infinity') not valid;
