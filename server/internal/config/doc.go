// Package config has the settings of the messageproxy command: what there is (one
// table, from which flags, environment variables, keys of the YAML file, help and
// documentation come), where each may be given, and how its text is read.
//
// A flag goes before an environment variable, that before the file, and that
// before the default. Whatever is unknown, malformed, out of range or
// contradictory is an error that names the setting, where it came from and what
// is allowed; all that is wrong is reported at once.
package config
