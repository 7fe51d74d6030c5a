//! Operations on what writers sign and what this node keeps alive, begun at the engine.

use qadom_engine::{Engine, OperationId, Time};

use crate::command::RecordOperation;

pub(super) fn begin(engine: &mut Engine, now: Time, operation: RecordOperation) -> OperationId {
    match operation {
        RecordOperation::DictSet {
            writer,
            name,
            value,
            options,
        } => match value {
            Some(value) => engine.dict_set(now, writer, &name, value, options),
            None => engine.dict_delete(now, writer, &name, options),
        },
        RecordOperation::DictGet { name, pinned, from } => {
            engine.dict_get(now, &name, pinned, from)
        }
        RecordOperation::BagAdd {
            writer,
            key,
            item,
            options,
        } => engine.bag_add(now, writer, key, item, options),
        RecordOperation::BagRemove {
            writer,
            key,
            item,
            options,
        } => engine.bag_remove(now, writer, key, item, options),
        RecordOperation::BagList(key, from) => engine.bag_list(now, key, from),
        RecordOperation::NamespaceSet {
            writer,
            key,
            value,
            if_seq,
            options,
        } => match value {
            Some(value) => engine.namespace_set(now, writer, (key, value), if_seq, options),
            None => engine.namespace_delete(now, writer, key, if_seq, options),
        },
        RecordOperation::NamespaceGet {
            writer,
            key,
            latest,
            from,
        } => engine.namespace_get(now, (writer, key), latest, from),
        RecordOperation::Publish {
            writer,
            topic,
            message,
            options,
        } => engine.publish(now, writer, topic, message, options),
        RecordOperation::Withdraw(slot) => engine.withdraw(now, slot),
    }
}
