// Generated from ../openapi.json by `npm run types`. Not edited by hand.

export interface paths {
    "/api/v1/alerts": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Newest first. */
        get: operations["list_alerts"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/alerts/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get: operations["show_alert"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/alerts/{id}/acknowledge": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Says who takes care of an open alert: shown on it and in the events, and told to whoever was told that it fires
         *     (PagerDuty acknowledges its incident). It fires on, and runbooks go on.
         */
        post: operations["acknowledge_alert"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/annotations": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Newest first. */
        get: operations["list_annotations"];
        put?: never;
        /** Keeps a deploy or a note: a mark on the charts of the service's objectives, and an event. */
        post: operations["create_annotation"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/corrections": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Corrections that hold some time between `from` and `to`, undone ones included, newest first. */
        get: operations["list_corrections"];
        put?: never;
        /**
         * From now on the objective does not count that time: events of it are in no window, slices it touches neither good
         *     nor in the total. Nothing is rewritten, so that undoing it restores every number; a fast page counts anew.
         */
        post: operations["create_correction"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/corrections/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        /** Undoes a correction: its time counts again. It stays on record, with the time it was undone. */
        delete: operations["undo_correction"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/events": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get: operations["list_events"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/limits": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get: operations["list_limits"];
        put?: never;
        post?: never;
        /** The panic key: takes every limit out of the kernel, and stops the runs that asked for them. */
        delete: operations["clear_limits"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/limits/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        /** Takes one limit out of the kernel, and stops the run that asked for it. */
        delete: operations["release_limit"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/overview": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Every objective, open alerts, live limits, sources. */
        get: operations["overview"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/runbooks": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get: operations["list_runbooks"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/runs": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Newest first. */
        get: operations["list_runs"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/runs/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get: operations["show_run"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/runs/{id}/cancel": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Stops a run: what it did is taken back, and nothing more is done. */
        post: operations["cancel_run"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/services": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get: operations["list_services"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/services/{name}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get: operations["show_service"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/silences": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Newest first. */
        get: operations["list_silences"];
        put?: never;
        /**
         * Alerts that match fire and resolve as ever, but no runbook answers to one that fires: nobody is paged and nothing is
         *     limited. What still fires as the silence ends is answered then, once. Runs that have begun go on, and people
         *     who were told are told that it is over. One that is about nothing that is defined (`matches` is 0) is kept all the
         *     same: what it is about may come.
         */
        post: operations["create_silence"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/silences/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        /** Ends a silence before its time. It stays on record. */
        delete: operations["end_silence"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/slos": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get: operations["list_slos"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/slos/{name}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get: operations["show_slo"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/slos/{name}/series": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get: operations["slo_series"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/stream": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Server-Sent Events: `event` carries one EventView with its id, `tick` a TickView each second.
         * @description `Last-Event-ID` resumes after that event.
         */
        get: operations["stream"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/readyz": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Whether this process can do its work, and if not, why. */
        get: operations["readyz"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
}
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        AcknowledgeBody: {
            /** @example ann */
            author: string;
            /** @example rolling back */
            note?: string;
        };
        /** @description Who takes care of it. */
        AcknowledgementView: {
            /** Format: date-time */
            at: string;
            by: string;
            note: string;
        };
        AlertView: {
            acknowledged?: components["schemas"]["AcknowledgementView"] | null;
            evidence: components["schemas"]["EvidenceView"];
            /** Format: date-time */
            fired_at?: string | null;
            fired_on?: components["schemas"]["EvidenceView"] | null;
            /** Format: int64 */
            id: number;
            /**
             * Format: int64
             * @description The page of a service it depends on that inhibits it, or did when it resolved.
             */
            inhibited_by?: number | null;
            objective: string;
            /** Format: date-time */
            opened_at: string;
            /** @description The person or team whose objective it is, as its definition says now. */
            owner?: string | null;
            /** Format: date-time */
            resolved_at?: string | null;
            /** @description Where people read what to do about it. */
            runbook_url?: string | null;
            service: string;
            /** @description `page` or `ticket`. */
            severity: string;
            /**
             * Format: int64
             * @description The silence that holds now, or did when the alert resolved.
             */
            silenced_by?: number | null;
            /** @description `pending`, `firing` or `resolved`. */
            state: string;
            tier: string;
            trace_id?: string | null;
            /**
             * Format: int64
             * @description Counts of its evidence are in parts of which so many make an event, as those of its SLO.
             */
            unit: number;
        };
        AnnotationBody: {
            /**
             * Format: date-time
             * @description Now unless said.
             */
            at?: string | null;
            /** @example ci */
            author: string;
            /**
             * @description `deploy` or `note`.
             * @example deploy
             */
            kind: string;
            service: string;
            /** @example v1.4.2 */
            text: string;
        };
        /** @description What somebody says about a service at a moment. */
        AnnotationView: {
            /** Format: date-time */
            at: string;
            author: string;
            /** Format: date-time */
            created_at: string;
            /** Format: int64 */
            id: number;
            /** @example deploy */
            kind: string;
            service: string;
            text: string;
        };
        /** @description How far an SLI is counted back; the newest comes first. */
        BackfillView: {
            /**
             * Format: date-time
             * @description Later than this all is counted.
             */
            done_to: string;
            /**
             * Format: date-time
             * @description Where it is to end.
             */
            from: string;
            /**
             * Format: double
             * @description Of the time that is to be counted back, between 0 and 1.
             */
            share: number;
        };
        BudgetAlertView: {
            /** Format: date-time */
            frozen_since?: string | null;
            /** @example budget-remaining-20 */
            name: string;
            /** @description `page` or `ticket`. */
            severity: string;
            spending: components["schemas"]["SpendingView"];
            /** @description State of its open alert, `frozen` while too little is measured, or `ok`. */
            state: string;
        };
        BurnView: {
            /** Format: int64 */
            bad: number;
            /**
             * Format: double
             * @description Multiple of the even spending rate; null while nothing was counted in the window.
             */
            burn_rate?: number | null;
            /** Format: double */
            coverage?: number | null;
            /** Format: int64 */
            good: number;
            /** Format: int64 */
            window_seconds: number;
        };
        CheckView: {
            /** @example database */
            name: string;
            ready: boolean;
            /** @description Why it is not ready, or why it is not wanted here. */
            reason?: string | null;
        };
        ClearedView: {
            /** Format: int64 */
            cleared: number;
            /** Format: int64 */
            runs_cancelled: number;
        };
        /** @description Null in the role that nothing was counted for. */
        ConnectionsView: {
            client?: components["schemas"]["TcpView"] | null;
            server?: components["schemas"]["TcpView"] | null;
        };
        /**
         * @description Time that an objective does not count. Of `Occurrences` that is the requests of the slots that it touches; of
         *     `Timeslices` and `RatioTimeslices` each slice that it touches, be it for a second, which in a calendar's period is not
         *     among the slices that the budget is a share of either. Of a part of a composite it is what that part counted, of
         *     `Timeslices` the slice of the whole; of the whole the same time of all its parts, on their own pages, too.
         */
        CorrectionBody: {
            /** @example ann */
            author: string;
            comment?: string;
            /** Format: date-time */
            ends_at: string;
            /**
             * @description `maintenance`, `deployment`, `outside_business_hours` or `other`.
             * @example maintenance
             */
            kind: string;
            objective: string;
            recurrence?: components["schemas"]["RecurrenceBody"] | null;
            /**
             * Format: date-time
             * @description The one time, in the past or the future, or the first of those that recur.
             */
            starts_at: string;
        };
        CorrectionsView: {
            items: components["schemas"]["CorrectionView"][];
            /** @description What they leave out of the objective that was asked for, overlaps counted once; `null` when none was. */
            left_out?: components["schemas"]["LeftOutView"][] | null;
        };
        /** @description Time that an objective does not count. */
        CorrectionView: {
            author: string;
            comment: string;
            /** Format: date-time */
            created_at: string;
            /** Format: date-time */
            ends_at: string;
            /** Format: int64 */
            id: number;
            /** @example maintenance */
            kind: string;
            objective: string;
            recurrence?: components["schemas"]["RecurrenceView"] | null;
            /** @description When it holds, in the time that was asked for. */
            spans: components["schemas"]["SpanView"][];
            /**
             * Format: date-time
             * @description The one time, or the first of those that recur.
             */
            starts_at: string;
            /**
             * Format: date-time
             * @description From then on it leaves out nothing: `null` while it stands.
             */
            undone_at?: string | null;
            undone_by?: string | null;
        };
        DeliveryView: {
            /** @description What the target is told: `trigger` or `resolve`. */
            action: string;
            /** Format: int32 */
            attempts: number;
            /** Format: date-time */
            created_at: string;
            /** Format: date-time */
            delivered_at?: string | null;
            /** @description `pagerduty`, `slack` or `webhook`. */
            kind: string;
            last_error?: string | null;
            state: string;
            target: string;
        };
        EndpointView: {
            because: string;
            cgroup: string;
            executable?: string | null;
            /**
             * Format: date-time
             * @description When its source looked and found that nobody listens there any more; null while somebody does, as far as the source
             *     has said.
             */
            gone_at?: string | null;
            /**
             * Format: date-time
             * @description To the minute. What listens no longer stays here with the time at which it did.
             */
            last_seen_at: string;
            /** Format: int32 */
            port: number;
            source: string;
        };
        ErrorEnvelope: {
            error: components["schemas"]["ErrorView"];
        };
        ErrorView: {
            /** @example not_found */
            code: string;
            hint?: string | null;
            message: string;
        };
        /** @description An interval that the truth lies in: it is not known more exactly how many were within the threshold. */
        EstimateView: {
            /** Format: int64 */
            bad_max: number;
            /** Format: int64 */
            bad_min: number;
            /** Format: double */
            budget_remaining_max: number;
            /**
             * Format: double
             * @description Share of the budget left of the whole period: what was counted, and this.
             */
            budget_remaining_min: number;
            /** Format: date-time */
            from: string;
            /** Format: int64 */
            good_max: number;
            /** Format: int64 */
            good_min: number;
            /** Format: double */
            sli_max?: number | null;
            /**
             * Format: double
             * @description Share of good events of this time; null when it may be that none counts.
             */
            sli_min?: number | null;
            /** Format: date-time */
            to: string;
        };
        EventView: {
            /** Format: date-time */
            at: string;
            data: Record<string, never>;
            /**
             * Format: int64
             * @description Grows with time: resume the stream or page on with the last one seen.
             */
            id: number;
            kind: string;
            message: string;
            /** @description Name of the service, objective, run or source that it is about. */
            subject: string;
            trace_id?: string | null;
        };
        /** @description They fire when the chance of so many bad events is at most this, were it burning at the threshold exactly. */
        EvidenceGateView: {
            /**
             * Format: double
             * @example 0.01
             */
            page: number;
            /**
             * Format: double
             * @example 0.05
             */
            ticket: number;
        };
        /** @description What the last transition was decided on. */
        EvidenceView: {
            /**
             * Format: int64
             * @description Bad events in the long window that would be evidence enough; of a sequential test, the fewest. Null of a composite
             *     that counts shares of a whole: its parts' counts are weighed.
             */
            bad_needed?: number | null;
            budget?: components["schemas"]["SpendingView"] | null;
            /**
             * Format: double
             * @description Null where nothing was counted, and of `coverage` and `budget`.
             */
            burn_rate_long?: number | null;
            /** Format: double */
            burn_rate_short?: number | null;
            /**
             * Format: double
             * @description `windows`: the chance of at least this many bad events if it burned at the threshold exactly.
             *     `sequential`: the most that the chance of such counts can be while the objective is met.
             */
            chance?: number | null;
            long: components["schemas"]["WindowCountsView"];
            /** @description What each part of such a composite counted over the long window, and what would be evidence. */
            parts: components["schemas"]["PartOfEvidenceView"][];
            short: components["schemas"]["WindowCountsView"];
            /** @description Of `coverage`: the hosts that should watch and are silent, the longest silent first. */
            silent: string[];
            /**
             * @description `windows`; `sequential`: both windows are the span since errors began; `coverage`: both are the time that was
             *     looked at, and the threshold is the least share of it that is to be watched; `budget`: both are what the rule
             *     looks back on, and the threshold is the bad events of it that do not fire yet.
             */
            test: string;
            /** Format: double */
            threshold: number;
        };
        /** @description A sequential test on every count as it comes in. */
        FastPageView: {
            /**
             * Format: int64
             * @description The fewest bad events that page.
             */
            bad_needed: number;
            /**
             * Format: double
             * @description Of the outage that it looks for.
             */
            burn_rate: number;
            /**
             * Format: double
             * @description From 0, nothing speaks for an outage, to 1, which pages.
             */
            evidence: number;
            /**
             * Format: double
             * @description At most so many a year while the objective is just met and errors are independent.
             */
            false_pages_a_year: number;
            /**
             * Format: double
             * @description Events a second, over the hour before, below which it keeps quiet.
             */
            rate_min: number;
            /** @description `firing` or `ok`. */
            state: string;
        };
        /** @description Every list has this shape, so that a list can gain fields without breaking a reader. */
        Items_AlertView: {
            items: {
                acknowledged?: components["schemas"]["AcknowledgementView"] | null;
                evidence: components["schemas"]["EvidenceView"];
                /** Format: date-time */
                fired_at?: string | null;
                fired_on?: components["schemas"]["EvidenceView"] | null;
                /** Format: int64 */
                id: number;
                /**
                 * Format: int64
                 * @description The page of a service it depends on that inhibits it, or did when it resolved.
                 */
                inhibited_by?: number | null;
                objective: string;
                /** Format: date-time */
                opened_at: string;
                /** @description The person or team whose objective it is, as its definition says now. */
                owner?: string | null;
                /** Format: date-time */
                resolved_at?: string | null;
                /** @description Where people read what to do about it. */
                runbook_url?: string | null;
                service: string;
                /** @description `page` or `ticket`. */
                severity: string;
                /**
                 * Format: int64
                 * @description The silence that holds now, or did when the alert resolved.
                 */
                silenced_by?: number | null;
                /** @description `pending`, `firing` or `resolved`. */
                state: string;
                tier: string;
                trace_id?: string | null;
                /**
                 * Format: int64
                 * @description Counts of its evidence are in parts of which so many make an event, as those of its SLO.
                 */
                unit: number;
            }[];
            /** @description What is missing among them, as it cannot be read. */
            unreadable?: components["schemas"]["UnreadableView"][];
        };
        /** @description Every list has this shape, so that a list can gain fields without breaking a reader. */
        Items_AnnotationView: {
            items: {
                /** Format: date-time */
                at: string;
                author: string;
                /** Format: date-time */
                created_at: string;
                /** Format: int64 */
                id: number;
                /** @example deploy */
                kind: string;
                service: string;
                text: string;
            }[];
            /** @description What is missing among them, as it cannot be read. */
            unreadable?: components["schemas"]["UnreadableView"][];
        };
        /** @description Every list has this shape, so that a list can gain fields without breaking a reader. */
        Items_EventView: {
            items: {
                /** Format: date-time */
                at: string;
                data: Record<string, never>;
                /**
                 * Format: int64
                 * @description Grows with time: resume the stream or page on with the last one seen.
                 */
                id: number;
                kind: string;
                message: string;
                /** @description Name of the service, objective, run or source that it is about. */
                subject: string;
                trace_id?: string | null;
            }[];
            /** @description What is missing among them, as it cannot be read. */
            unreadable?: components["schemas"]["UnreadableView"][];
        };
        /** @description Every list has this shape, so that a list can gain fields without breaking a reader. */
        Items_LimitView: {
            items: {
                /** Format: int32 */
                burst: number;
                /** Format: int64 */
                dropped: number;
                /** Format: date-time */
                expires_at: string;
                /** Format: int32 */
                id: number;
                /** @description `native` or `generic`: where the driver runs the program. */
                mode: string;
                /**
                 * Format: int64
                 * @description Packets let through and dropped since the limit was set.
                 */
                passed: number;
                /** Format: int32 */
                rate_per_second: number;
                /** Format: int64 */
                run_id?: number | null;
                service: string;
                /**
                 * @description Address or prefix the limit is on.
                 * @example 10.0.0.9/32
                 */
                source: string;
            }[];
            /** @description What is missing among them, as it cannot be read. */
            unreadable?: components["schemas"]["UnreadableView"][];
        };
        /** @description Every list has this shape, so that a list can gain fields without breaking a reader. */
        Items_RunbookView: {
            items: {
                description: string;
                /** @description What holds it back from acting, never from telling. */
                guards: string[];
                /** @description `active` or `shadow`. */
                mode: string;
                name: string;
                steps: components["schemas"]["RunbookStepView"][];
                /** @description How it finds out whether acting helped. */
                verify: string;
                /** @description Alerts it answers to: all of these hold. Empty: every alert. */
                when: string[];
            }[];
            /** @description What is missing among them, as it cannot be read. */
            unreadable?: components["schemas"]["UnreadableView"][];
        };
        /** @description Every list has this shape, so that a list can gain fields without breaking a reader. */
        Items_RunSummary: {
            items: {
                /** Format: date-time */
                acted_at?: string | null;
                /** Format: int64 */
                alert_id: number;
                /** Format: date-time */
                deadline_at?: string | null;
                /** Format: date-time */
                finished_at?: string | null;
                /** Format: int64 */
                id: number;
                /** @description `active` or `shadow`: a shadow run says what it would do and does not do it. */
                mode: string;
                objective: string;
                /** @description Why it was refused, gave up or had nothing to do. */
                reason?: string | null;
                runbook: string;
                service: string;
                severity: string;
                /** Format: date-time */
                started_at: string;
                state: string;
                tier: string;
                trace_id?: string | null;
                /** @description `recovered`, `no_effect`, `worse` or `unknown`, once it is known whether acting helped. */
                verdict?: string | null;
            }[];
            /** @description What is missing among them, as it cannot be read. */
            unreadable?: components["schemas"]["UnreadableView"][];
        };
        /** @description Every list has this shape, so that a list can gain fields without breaking a reader. */
        Items_ServiceSummary: {
            items: {
                /** @description Why its latest endpoint carries this name; null while no endpoint was found. */
                because?: string | null;
                /**
                 * Format: double
                 * @description Share of the last minutes that was measured.
                 */
                coverage?: number | null;
                endpoints: components["schemas"]["EndpointView"][];
                /**
                 * Format: double
                 * @description Share of requests that went wrong by the default availability rule.
                 */
                error_ratio?: number | null;
                /** Format: int64 */
                in_flight?: number | null;
                name: string;
                /**
                 * Format: int64
                 * @description Requests in flight for longer than their threshold.
                 */
                overdue?: number | null;
                /** Format: double */
                p50_ms?: number | null;
                /** Format: double */
                p99_ms?: number | null;
                /** Format: double */
                requests_per_second?: number | null;
                /** Format: double */
                retransmits_per_second?: number | null;
                /** Format: double */
                rtt_ms?: number | null;
                slos: string[];
                worst_state: components["schemas"]["SloState"];
            }[];
            /** @description What is missing among them, as it cannot be read. */
            unreadable?: components["schemas"]["UnreadableView"][];
        };
        /** @description Every list has this shape, so that a list can gain fields without breaking a reader. */
        Items_SilenceView: {
            items: {
                author: string;
                comment: string;
                /** Format: date-time */
                created_at: string;
                /**
                 * Format: date-time
                 * @description When it was ended before its time, and by whom.
                 */
                ended_at?: string | null;
                ended_by?: string | null;
                /** Format: date-time */
                ends_at: string;
                /** Format: int64 */
                id: number;
                /**
                 * @description All must hold.
                 * @example [
                 *       "service=web"
                 *     ]
                 */
                matchers: string[];
                /**
                 * @description Tiers and other alerts of the definitions in force that it is about. 0: it silences nothing as they are now. Null of
                 *     one that is over, which is about nothing any more.
                 */
                matches?: number | null;
                /** Format: date-time */
                starts_at: string;
                /** @description `pending`, `active` or `ended`. */
                state: string;
            }[];
            /** @description What is missing among them, as it cannot be read. */
            unreadable?: components["schemas"]["UnreadableView"][];
        };
        /** @description Every list has this shape, so that a list can gain fields without breaking a reader. */
        Items_SloSummary: {
            items: {
                backfill?: components["schemas"]["BackfillView"] | null;
                /** Format: int64 */
                bad: number;
                /**
                 * Format: double
                 * @description Share of the error budget left: 1 is all of it, below 0 is overspent.
                 */
                budget_remaining?: number | null;
                /** Format: int64 */
                budget_spent_events: number;
                /**
                 * Format: double
                 * @description Bad events the target allows for the events counted so far.
                 */
                budget_total_events: number;
                /** @description OpenSLO's: `Occurrences`, `Timeslices` or `RatioTimeslices`; `Composite` where its parts are counted. */
                budgeting_method: string;
                burn: components["schemas"]["BurnView"][];
                /**
                 * Format: date-time
                 * @description Where the counts of the period begin: later than `period_from` for an SLI that is younger, and was not measured before.
                 */
                counted_from: string;
                /**
                 * Format: double
                 * @description Share of the period that was measured.
                 */
                coverage?: number | null;
                display_name: string;
                estimated?: components["schemas"]["EstimateView"] | null;
                /**
                 * Format: date-time
                 * @description When the budget ends if it goes on burning as it does now; null when it does not end, or is gone already.
                 */
                exhausts_at?: string | null;
                /** Format: int64 */
                good: number;
                kind: components["schemas"]["SloKind"];
                /**
                 * Format: int64
                 * @description Events of the period that are known to have been lost.
                 */
                lost: number;
                name: string;
                /** @description The person or team whose objective it is. */
                owner?: string | null;
                /** @description The composite that spends its budget by what this SLO burns. */
                part_of?: string | null;
                /** Format: date-time */
                period_from: string;
                /**
                 * Format: int64
                 * @description Nominal for a calendar's period: `period_from` and `period_to` are what it is.
                 */
                period_seconds: number;
                /** Format: date-time */
                period_to: string;
                /** @description Where people read what to do when it alerts. */
                runbook_url?: string | null;
                service: string;
                /**
                 * Format: double
                 * @description Share of good events over the period; null while nothing was counted.
                 */
                sli?: number | null;
                /**
                 * Format: int64
                 * @description Length of the slices that are counted instead of requests.
                 */
                slice_seconds?: number | null;
                state: components["schemas"]["SloState"];
                /**
                 * Format: double
                 * @description Share of good events asked for, between 0 and 1.
                 * @example 0.999
                 */
                target: number;
                /**
                 * Format: double
                 * @description Of a latency objective: slower than this is bad.
                 */
                threshold_ms?: number | null;
                /**
                 * Format: int64
                 * @description All counts of this SLO are in parts of which so many make an event: 1, or 1000000000 where slices are partly
                 *     good, 1000000000000 where a composite counts shares of the whole.
                 */
                unit: number;
            }[];
            /** @description What is missing among them, as it cannot be read. */
            unreadable?: components["schemas"]["UnreadableView"][];
        };
        LeftOutView: {
            /** Format: int64 */
            bad: number;
            /**
             * Format: date-time
             * @description The rows of the ledger that the edges stand for: earlier ones where the ledger was thinned before the
             *     correction was made, `null` before the first.
             */
            counted_from?: string | null;
            /** Format: date-time */
            counted_to?: string | null;
            /** Format: date-time */
            from: string;
            /** Format: int64 */
            good: number;
            /** Format: date-time */
            to: string;
        };
        LimitView: {
            /** Format: int32 */
            burst: number;
            /** Format: int64 */
            dropped: number;
            /** Format: date-time */
            expires_at: string;
            /** Format: int32 */
            id: number;
            /** @description `native` or `generic`: where the driver runs the program. */
            mode: string;
            /**
             * Format: int64
             * @description Packets let through and dropped since the limit was set.
             */
            passed: number;
            /** Format: int32 */
            rate_per_second: number;
            /** Format: int64 */
            run_id?: number | null;
            service: string;
            /**
             * @description Address or prefix the limit is on.
             * @example 10.0.0.9/32
             */
            source: string;
        };
        OverviewView: {
            /** @description Pending and firing ones. */
            alerts: components["schemas"]["AlertView"][];
            /** Format: date-time */
            generated_at: string;
            items: components["schemas"]["SloSummary"][];
            limits: components["schemas"]["LimitView"][];
            /** @description What could not be read, in words: the rest is still true. */
            notes: string[];
            sources: components["schemas"]["SourceView"][];
            /** @description Objectives that cannot be read, or whose alert cannot. */
            unreadable?: components["schemas"]["UnreadableView"][];
        };
        /** @description One part of a composite, in what its alert stands on. */
        PartOfEvidenceView: {
            /** Format: int64 */
            bad: number;
            /**
             * Format: int64
             * @description Bad events of this part that would be evidence enough beside what the others counted; 0 where theirs are without it.
             *     Null where not even all that it counted would be, and where nothing was to be decided.
             */
            bad_needed?: number | null;
            /**
             * Format: double
             * @description How fast the part itself burns; the whole burns so much of it as it weighs. Null where nothing was counted.
             */
            burn_rate?: number | null;
            /** Format: int64 */
            good: number;
            objective: string;
            /**
             * Format: int64
             * @description Its counts are in parts of which so many make an event.
             */
            unit: number;
            /** Format: double */
            weight: number;
        };
        /** @description An SLO that a composite is made of. */
        PartView: {
            name: string;
            /**
             * Format: double
             * @description How many times its burn counts in the whole.
             */
            weight: number;
        };
        ReadinessView: {
            checks: components["schemas"]["CheckView"][];
            ready: boolean;
        };
        RecurrenceBody: {
            /**
             * @description EXDATE: days of the zone (`2026-12-27`: all that would begin on it counts) or moments of RFC 3339.
             * @example [
             *       "2026-12-27"
             *     ]
             */
            exdate?: string[];
            /** @description RDATE: days, at the first time's time of day, or moments when it is beside the rule. */
            rdate?: string[];
            /**
             * @description An RRULE of RFC 5545, daily or rarer.
             * @example FREQ=WEEKLY;BYDAY=SU
             */
            rule: string;
            /**
             * @description The IANA zone on whose clocks it recurs.
             * @example Europe/Berlin
             */
            zone: string;
        };
        RecurrenceView: {
            /**
             * @description What it leaves out of the rule: days of the zone, or moments.
             * @example [
             *       "2026-12-27"
             *     ]
             */
            exdate: string[];
            /** @description When it is beside the rule. */
            rdate: string[];
            /** @example FREQ=WEEKLY;BYDAY=SU */
            rule: string;
            /** @example Europe/Berlin */
            zone: string;
        };
        RouteView: {
            /** Format: int64 */
            errors: number;
            /** Format: double */
            p50_ms?: number | null;
            /** Format: double */
            p99_ms?: number | null;
            /** Format: int64 */
            requests: number;
            /** @example GET /api/ */
            route: string;
            /** @description Requests by exact status code. */
            statuses: {
                [key: string]: number;
            };
        };
        RunbookStepView: {
            kind: string;
            /** @description What the step would do, in words. */
            summary: string;
        };
        RunbookView: {
            description: string;
            /** @description What holds it back from acting, never from telling. */
            guards: string[];
            /** @description `active` or `shadow`. */
            mode: string;
            name: string;
            steps: components["schemas"]["RunbookStepView"][];
            /** @description How it finds out whether acting helped. */
            verify: string;
            /** @description Alerts it answers to: all of these hold. Empty: every alert. */
            when: string[];
        };
        RunDetail: components["schemas"]["RunSummary"] & {
            deliveries: components["schemas"]["DeliveryView"][];
            steps: components["schemas"]["StepView"][];
        };
        RunSummary: {
            /** Format: date-time */
            acted_at?: string | null;
            /** Format: int64 */
            alert_id: number;
            /** Format: date-time */
            deadline_at?: string | null;
            /** Format: date-time */
            finished_at?: string | null;
            /** Format: int64 */
            id: number;
            /** @description `active` or `shadow`: a shadow run says what it would do and does not do it. */
            mode: string;
            objective: string;
            /** @description Why it was refused, gave up or had nothing to do. */
            reason?: string | null;
            runbook: string;
            service: string;
            severity: string;
            /** Format: date-time */
            started_at: string;
            state: string;
            tier: string;
            trace_id?: string | null;
            /** @description `recovered`, `no_effect`, `worse` or `unknown`, once it is known whether acting helped. */
            verdict?: string | null;
        };
        ServiceDetail: components["schemas"]["ServiceSummary"] & {
            connections: components["schemas"]["ConnectionsView"];
            /**
             * Format: double
             * @description From the first byte of a request to the last of its answer, where the end of answers is known; null
             *     unless an objective of the service is on the clock `last_byte`.
             */
            last_byte_p50_ms?: number | null;
            /** Format: double */
            last_byte_p99_ms?: number | null;
            /**
             * Format: double
             * @description What requests waited until the server read them, a part of the turnaround; null where the
             *     kernel does not tell.
             */
            queue_p50_ms?: number | null;
            /** Format: double */
            queue_p99_ms?: number | null;
            routes: components["schemas"]["RouteView"][];
            series: components["schemas"]["ServiceSeriesView"];
        };
        /** @description Columns of equal length: one value a step, null where nothing was measured. `at` is a step's end. */
        ServiceSeriesView: {
            /** @description Epoch seconds. */
            at: number[];
            coverage: (number | null)[];
            errors: (number | null)[];
            p50_ms: (number | null)[];
            p99_ms: (number | null)[];
            queue_p99_ms: (number | null)[];
            requests: (number | null)[];
            retransmits: (number | null)[];
            /** Format: int64 */
            step_seconds: number;
        };
        ServiceSummary: {
            /** @description Why its latest endpoint carries this name; null while no endpoint was found. */
            because?: string | null;
            /**
             * Format: double
             * @description Share of the last minutes that was measured.
             */
            coverage?: number | null;
            endpoints: components["schemas"]["EndpointView"][];
            /**
             * Format: double
             * @description Share of requests that went wrong by the default availability rule.
             */
            error_ratio?: number | null;
            /** Format: int64 */
            in_flight?: number | null;
            name: string;
            /**
             * Format: int64
             * @description Requests in flight for longer than their threshold.
             */
            overdue?: number | null;
            /** Format: double */
            p50_ms?: number | null;
            /** Format: double */
            p99_ms?: number | null;
            /** Format: double */
            requests_per_second?: number | null;
            /** Format: double */
            retransmits_per_second?: number | null;
            /** Format: double */
            rtt_ms?: number | null;
            slos: string[];
            worst_state: components["schemas"]["SloState"];
        };
        SilenceBody: {
            /** @example ann */
            author: string;
            /** @example moving to the new database */
            comment: string;
            /** Format: date-time */
            ends_at: string;
            /**
             * @description All must hold: `service`, `objective`, `tier` or `severity`, then `=`, `!=`, `=~` or `!~`, then a text or an
             *     expression about the whole text.
             * @example [
             *       "service=web",
             *       "tier=~page-.*"
             *     ]
             */
            matchers: string[];
            /**
             * Format: date-time
             * @description Now unless said.
             */
            starts_at?: string | null;
        };
        /** @description Alerts of which nobody wants to be told for a while. */
        SilenceView: {
            author: string;
            comment: string;
            /** Format: date-time */
            created_at: string;
            /**
             * Format: date-time
             * @description When it was ended before its time, and by whom.
             */
            ended_at?: string | null;
            ended_by?: string | null;
            /** Format: date-time */
            ends_at: string;
            /** Format: int64 */
            id: number;
            /**
             * @description All must hold.
             * @example [
             *       "service=web"
             *     ]
             */
            matchers: string[];
            /**
             * @description Tiers and other alerts of the definitions in force that it is about. 0: it silences nothing as they are now. Null of
             *     one that is over, which is about nothing any more.
             */
            matches?: number | null;
            /** Format: date-time */
            starts_at: string;
            /** @description `pending`, `active` or `ended`. */
            state: string;
        };
        SloDetail: components["schemas"]["SloSummary"] & {
            /** @description Alerts on what is left of the budget: none unless the definition states one. */
            budget_alerts: components["schemas"]["BudgetAlertView"][];
            description: string;
            evidence_gate?: components["schemas"]["EvidenceGateView"] | null;
            fast_page?: components["schemas"]["FastPageView"] | null;
            /** @description Of a composite, as its definition has them. */
            parts: components["schemas"]["PartView"][];
            tiers: components["schemas"]["TierView"][];
        };
        /** @enum {string} */
        SloKind: "availability" | "latency" | "ratio" | "retransmits" | "composite";
        /** @description Columns of equal length: one value a step. */
        SloSeriesView: {
            /** @description Epoch seconds. */
            at: number[];
            bad: number[];
            budget_remaining: (number | null)[];
            burn_rate: (number | null)[];
            /** @description Null where nobody was expected to measure. */
            coverage: (number | null)[];
            good: number[];
            /** Format: int64 */
            step_seconds: number;
        };
        /** @enum {string} */
        SloState: "ok" | "burning" | "firing" | "exhausted" | "no_data";
        SloSummary: {
            backfill?: components["schemas"]["BackfillView"] | null;
            /** Format: int64 */
            bad: number;
            /**
             * Format: double
             * @description Share of the error budget left: 1 is all of it, below 0 is overspent.
             */
            budget_remaining?: number | null;
            /** Format: int64 */
            budget_spent_events: number;
            /**
             * Format: double
             * @description Bad events the target allows for the events counted so far.
             */
            budget_total_events: number;
            /** @description OpenSLO's: `Occurrences`, `Timeslices` or `RatioTimeslices`; `Composite` where its parts are counted. */
            budgeting_method: string;
            burn: components["schemas"]["BurnView"][];
            /**
             * Format: date-time
             * @description Where the counts of the period begin: later than `period_from` for an SLI that is younger, and was not measured before.
             */
            counted_from: string;
            /**
             * Format: double
             * @description Share of the period that was measured.
             */
            coverage?: number | null;
            display_name: string;
            estimated?: components["schemas"]["EstimateView"] | null;
            /**
             * Format: date-time
             * @description When the budget ends if it goes on burning as it does now; null when it does not end, or is gone already.
             */
            exhausts_at?: string | null;
            /** Format: int64 */
            good: number;
            kind: components["schemas"]["SloKind"];
            /**
             * Format: int64
             * @description Events of the period that are known to have been lost.
             */
            lost: number;
            name: string;
            /** @description The person or team whose objective it is. */
            owner?: string | null;
            /** @description The composite that spends its budget by what this SLO burns. */
            part_of?: string | null;
            /** Format: date-time */
            period_from: string;
            /**
             * Format: int64
             * @description Nominal for a calendar's period: `period_from` and `period_to` are what it is.
             */
            period_seconds: number;
            /** Format: date-time */
            period_to: string;
            /** @description Where people read what to do when it alerts. */
            runbook_url?: string | null;
            service: string;
            /**
             * Format: double
             * @description Share of good events over the period; null while nothing was counted.
             */
            sli?: number | null;
            /**
             * Format: int64
             * @description Length of the slices that are counted instead of requests.
             */
            slice_seconds?: number | null;
            state: components["schemas"]["SloState"];
            /**
             * Format: double
             * @description Share of good events asked for, between 0 and 1.
             * @example 0.999
             */
            target: number;
            /**
             * Format: double
             * @description Of a latency objective: slower than this is bad.
             */
            threshold_ms?: number | null;
            /**
             * Format: int64
             * @description All counts of this SLO are in parts of which so many make an event: 1, or 1000000000 where slices are partly
             *     good, 1000000000000 where a composite counts shares of the whole.
             */
            unit: number;
        };
        SourceView: {
            host: string;
            id: string;
            /**
             * Format: int64
             * @description How long ago its newest batch was measured that is booked as a whole: of a host where more than 1,000 counters move in a second,
             *     one a slot is.
             */
            lag_ms: number;
            /** Format: date-time */
            last_at: string;
            /**
             * Format: int64
             * @description Its clock is ahead of ours by this much.
             */
            offset_ms: number;
            /**
             * Format: int64
             * @description It is silent, and what is missing leaves a gap, when it is further behind.
             */
            patience_ms: number;
            /** @description `expected` or `goodbye`. */
            state: string;
        };
        SpanView: {
            /** Format: date-time */
            from: string;
            /** Format: date-time */
            to: string;
        };
        /** @description What is left of a budget, and what an alert on it makes of that. */
        SpendingView: {
            /**
             * Format: int64
             * @description Bad events of that time, and more than how many fire. Below 0: nothing would be left without any more.
             */
            bad: number;
            /**
             * Format: date-time
             * @description When nothing is left at that time's pace; null when that is later than the rule looks.
             */
            exhausts_at?: string | null;
            /** Format: double */
            limit: number;
            /**
             * Format: double
             * @description Share of the period's budget that is left; below 0 it is overspent.
             */
            remaining: number;
            /**
             * @description `remaining`, `exhausted within` or `drop`, as definitions spell it.
             * @example drop 10% within 1d
             */
            rule: string;
            /** @description One sentence that says where it stands. */
            says: string;
            /**
             * Format: double
             * @description Share of it that was spent in the time the rule looks back on.
             */
            spent: number;
        };
        StepView: {
            /** Format: int32 */
            attempt: number;
            error?: string | null;
            /**
             * Format: date-time
             * @description When what the step did ends by itself.
             */
            expires_at?: string | null;
            /** Format: date-time */
            finished_at?: string | null;
            /** @description Written before acting. */
            intent: Record<string, never> | null;
            kind: string;
            /** @description Written after acting. */
            result: Record<string, never> | null;
            /** Format: int32 */
            seq: number;
            /** Format: date-time */
            started_at?: string | null;
            state: string;
        };
        /** @description Counts are those of the window; `open`, `accept_queue` and `accept_backlog` are of now. */
        TcpView: {
            /**
             * Format: int64
             * @description How many may wait.
             */
            accept_backlog?: number | null;
            /**
             * Format: int64
             * @description Connections that wait to be accepted.
             */
            accept_queue?: number | null;
            /** Format: int64 */
            bytes_received: number;
            /**
             * Format: int64
             * @description Acknowledged by the peer.
             */
            bytes_sent: number;
            /** @description By error. */
            connect_failures: {
                [key: string]: number;
            };
            /**
             * Format: double
             * @description From the first SYN to the connection being open.
             */
            connect_p50_ms?: number | null;
            /** Format: double */
            connect_p99_ms?: number | null;
            /**
             * Format: int64
             * @description SYNs and finished handshakes that a listener turned away.
             */
            listen_drops: number;
            /** Format: int64 */
            open?: number | null;
            /**
             * Format: int64
             * @description Accepted by a server, opened by a client.
             */
            opened: number;
            /** Format: int64 */
            resets_received: number;
            /** Format: int64 */
            resets_sent: number;
            /** @description Part of `resets_sent`, by the kernel's own reason. */
            resets_sent_because: {
                [key: string]: number;
            };
            /** Format: int64 */
            retransmits: number;
            /** Format: double */
            rtt_p50_ms?: number | null;
            /** Format: double */
            rtt_p99_ms?: number | null;
            /**
             * Format: int64
             * @description Segments with data, each when it was first sent: those sent again are `retransmits`.
             */
            segments_sent: number;
            /** Format: int64 */
            syn_retransmits: number;
            /**
             * Format: int64
             * @description Given up by TCP, as the peer acknowledged nothing any more.
             */
            timeouts: number;
            /** Format: int64 */
            zero_windows_received: number;
            /**
             * Format: int64
             * @description Segments that told the peer to stop sending.
             */
            zero_windows_sent: number;
        };
        /** @description Sent on the stream each second so that pages know when to refresh. */
        TickView: {
            /** Format: date-time */
            at: string;
        };
        TierView: {
            /**
             * Format: double
             * @description Null while nothing was counted in the window.
             */
            burn_rate_long?: number | null;
            /** Format: double */
            burn_rate_short?: number | null;
            /** Format: double */
            burn_rate_threshold: number;
            /** Format: date-time */
            frozen_since?: string | null;
            /** Format: int64 */
            long_seconds: number;
            /** @example page-1h */
            name: string;
            /** @description `page` or `ticket`. */
            severity: string;
            /** Format: int64 */
            short_seconds: number;
            /** @description State of the tier's open alert, `frozen` while too little is measured, or `ok`. */
            state: string;
        };
        /** @description What somebody changed by hand, or a newer release wrote: it is not judged either. */
        UnreadableView: {
            /**
             * @description The objective's.
             * @example checkout-availability
             */
            name: string;
            /** @example `urgent` in column `severity` cannot be read */
            why: string;
        };
        WindowCountsView: {
            /** Format: int64 */
            bad: number;
            /** Format: double */
            coverage?: number | null;
            /**
             * Format: date-time
             * @description The edges used: a window rounds back to the rows that were kept.
             */
            from: string;
            /** Format: int64 */
            good: number;
            /**
             * Format: int64
             * @description Counts known to be lost.
             */
            lost: number;
            /** Format: date-time */
            to: string;
        };
    };
    responses: never;
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
}
export type $defs = Record<string, never>;
export interface operations {
    list_alerts: {
        parameters: {
            query?: {
                /** @description At most 500; 100 unless said. */
                limit?: number;
                /**
                 * @description `pending`, `firing` or `resolved`; all unless said.
                 * @example firing
                 */
                state?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Items_AlertView"];
                };
            };
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
        };
    };
    show_alert: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: number;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["AlertView"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
        };
    };
    acknowledge_alert: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: number;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["AcknowledgeBody"];
            };
        };
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["AlertView"];
                };
            };
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
        };
    };
    list_annotations: {
        parameters: {
            query?: {
                /** @description 30 days before now unless said. */
                from?: string;
                /** @description At most 500; 100 unless said. */
                limit?: number;
                /** @description Only annotations of this service. */
                service?: string;
                /** @description 30 days from now unless said. */
                to?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Items_AnnotationView"];
                };
            };
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
        };
    };
    create_annotation: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["AnnotationBody"];
            };
        };
        responses: {
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["AnnotationView"];
                };
            };
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
        };
    };
    list_corrections: {
        parameters: {
            query?: {
                /** @description 30 days before now unless said. */
                from?: string;
                /** @description At most 500; 100 unless said. */
                limit?: number;
                /** @description Only corrections of this objective, with what they leave out of it. */
                objective?: string;
                /** @description 30 days from now unless said. */
                to?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["CorrectionsView"];
                };
            };
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
        };
    };
    create_correction: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["CorrectionBody"];
            };
        };
        responses: {
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["CorrectionView"];
                };
            };
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
        };
    };
    undo_correction: {
        parameters: {
            query: {
                /** @description Who undoes it. */
                author: string;
            };
            header?: never;
            path: {
                id: number;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["CorrectionView"];
                };
            };
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
        };
    };
    list_events: {
        parameters: {
            query?: {
                /** @description Only events with a greater id, oldest first. Without it: the newest ones, newest first. */
                after?: number;
                /** @description At most 500; 100 unless said. */
                limit?: number;
                /**
                 * @description Only events about this service, objective, run or source; about a slowburn, `host/instance`; about the definitions
                 *     as a whole, `definition files`.
                 */
                subject?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Items_EventView"];
                };
            };
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
        };
    };
    list_limits: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Items_LimitView"];
                };
            };
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
        };
    };
    clear_limits: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ClearedView"];
                };
            };
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
        };
    };
    release_limit: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: number;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
        };
    };
    overview: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["OverviewView"];
                };
            };
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
        };
    };
    list_runbooks: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Items_RunbookView"];
                };
            };
        };
    };
    list_runs: {
        parameters: {
            query?: {
                /** @description Only runs that answer this alert. */
                alert?: number;
                /** @description At most 500; 100 unless said. */
                limit?: number;
                /** @description Only runs for this objective. */
                objective?: string;
                /** @description Only runs that are not over. */
                open?: boolean;
                /** @description Only runs for this service. */
                service?: string;
                /** @description Only runs in this state. */
                state?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Items_RunSummary"];
                };
            };
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
        };
    };
    show_run: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: number;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["RunDetail"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
        };
    };
    cancel_run: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: number;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["RunDetail"];
                };
            };
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
        };
    };
    list_services: {
        parameters: {
            query?: {
                /**
                 * @description How far back to look, at most 30d. Unless said: 5m for the list, 15m for one service.
                 * @example 15m
                 */
                window?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Items_ServiceSummary"];
                };
            };
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
        };
    };
    show_service: {
        parameters: {
            query?: {
                /**
                 * @description How far back to look, at most 30d. Unless said: 5m for the list, 15m for one service.
                 * @example 15m
                 */
                window?: string;
            };
            header?: never;
            path: {
                name: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ServiceDetail"];
                };
            };
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
        };
    };
    list_silences: {
        parameters: {
            query?: {
                /** @description Also those that are over. */
                ended?: boolean;
                /** @description At most 500; 100 unless said. */
                limit?: number;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Items_SilenceView"];
                };
            };
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
        };
    };
    create_silence: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["SilenceBody"];
            };
        };
        responses: {
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["SilenceView"];
                };
            };
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
        };
    };
    end_silence: {
        parameters: {
            query: {
                /** @description Who ends it. */
                author: string;
            };
            header?: never;
            path: {
                id: number;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["SilenceView"];
                };
            };
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
        };
    };
    list_slos: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Items_SloSummary"];
                };
            };
        };
    };
    show_slo: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                name: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["SloDetail"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
        };
    };
    slo_series: {
        parameters: {
            query?: {
                /** @description An hour before `to` unless said. */
                from?: string;
                /**
                 * @description Chosen for about 200 points unless said.
                 * @example 1m
                 */
                step?: string;
                /** @description Now unless said. */
                to?: string;
            };
            header?: never;
            path: {
                name: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["SloSeriesView"];
                };
            };
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
        };
    };
    stream: {
        parameters: {
            query?: never;
            header?: {
                "Last-Event-ID"?: number | null;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "text/event-stream": string;
                };
            };
        };
    };
    readyz: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ReadinessView"];
                };
            };
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ReadinessView"];
                };
            };
        };
    };
}
