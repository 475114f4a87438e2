//! The effective configuration, for showing: every default filled in, every secret masked (I9).

use serde_json::Value;

use super::{MASK, Task};

impl Task {
    /// The effective configuration as JSON. Literal secrets are masked, and so are values of module configurations whose
    /// key says that they are secret.
    pub fn to_json(&self) -> Value {
        let mut value = serde_json::to_value(self).unwrap_or_default();
        if self.objects.import.is_some()
            && let Some(Value::Object(objects)) = value.get_mut("objects")
        {
            // The file says which; both beside each other would be no task file.
            objects.retain(|key, _| key == "import");
        }
        if let Some(modules) = value.get_mut("modules") {
            mask(modules);
        }
        value
    }

    /// The effective configuration as a task file, masked like [`Task::to_json`].
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(&self.to_json()).unwrap_or_default()
    }
}

/// Masks what a key calls a secret, at any depth.
fn mask(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                let key = key.to_lowercase();
                let secret = ["password", "passwd", "secret", "token", "api_key", "apikey", "private"];
                if secret.iter().any(|part| key.contains(part)) {
                    *inner = Value::from(MASK);
                } else {
                    mask(inner);
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(mask),
        _ => {}
    }
}
