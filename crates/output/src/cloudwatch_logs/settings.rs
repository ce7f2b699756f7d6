//! What can be set about the output `cloudwatch_logs`.

use std::collections::BTreeMap;

use sawyer_config::{ByteSize, choice, settings};

choice! {
    /// What an event's message is.
    pub enum EventFormat {
        /// The record as JSON, whose fields CloudWatch Logs Insights finds.
        Json = "json",
        /// The line as it was written, without what Sawyer knows about it.
        Line = "line",
    }

    /// The class of log groups that are made.
    pub enum GroupClass {
        /// All features.
        Standard = "standard",
        /// Half the price to take in; no metric filters, subscriptions or live tail.
        InfrequentAccess = "infrequent_access",
    }
}

settings! {
    /// Sends records to Amazon CloudWatch Logs. Credentials are found where AWS's own programs find them; `auth:
    /// {type: aws, …}` sets others, a profile, or a role to assume.
    pub struct CloudwatchLogsSettings {
        /// The log group of a record. `{namespace}` or any other field is the record's; `{a|b}` is the first of several
        /// that it has, `{a|"x"}` is `x` if it has none (else `none`). `{date}`, `{month}` and `{year}` are of the
        /// record's own time, in UTC.
        pub group: String = "/sawyer/{namespace|\"host\"}".to_owned(),
        /// The log stream of a record within its group, in the same way. The records of a stream stay in their order.
        pub stream: String = "{pod|node|\"host\"}/{container|source}".to_owned(),
        /// The region, such as `ap-northeast-2`; else that of `auth`, else `AWS_REGION` of the environment.
        pub region: Option<String>,
        /// The address of the service, such as that of a VPC endpoint. By default it follows from the region.
        pub endpoint: Option<String>,
        /// What an event's message is.
        pub format: EventFormat = EventFormat::Json,
        /// With `format: json`, whether events have the line as it was written (`_original`) beside its fields. Without
        /// it they are up to half as large, which is what CloudWatch Logs is paid for.
        pub original: bool = true,
        /// Whether log groups that are not there are made. Streams are made in any case.
        pub create_groups: bool = true,
        /// Days for which groups that are made keep their events: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400 or
        /// more; for ever by default. Groups that are there stay as they are.
        pub retention_days: Option<u32>,
        /// The class of groups that are made.
        pub group_class: GroupClass = GroupClass::Standard,
        /// Tags of groups that are made.
        pub tags: BTreeMap<String, String> = BTreeMap::new(),
        /// Bytes of the largest event, with the 26 that the service adds. A larger one is rejected, and kept whole as a
        /// dead letter. Some regions take 256 KiB only.
        #[range(ByteSize::kib(1)..=ByteSize::mib(1))]
        pub event_max: ByteSize = ByteSize::mib(1),
    }
}
