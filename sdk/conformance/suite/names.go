package suite

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// nodeNames has Node.js know the names of namesHere, before it runs a program.
const nodeNames = `"use strict";
const dns = require("node:dns");
const names = new Set(namesHere);
const found = [{ address: "127.0.0.1", family: 4 }, { address: "127.0.0.2", family: 4 }];
const { lookup } = dns;
dns.lookup = function (name, options, callback) {
  if (!names.has(name)) return lookup.apply(dns, arguments);
  if (typeof options === "function") [options, callback] = [{}, options];
  if (options.all) process.nextTick(callback, null, found);
  else process.nextTick(callback, null, found[0].address, 4);
};
const { lookup: promised } = dns.promises;
dns.promises.lookup = async function (name, options) {
  if (!names.has(name)) return promised.apply(dns.promises, arguments);
  return options && options.all ? found : found[0];
};
require("node:module").syncBuiltinESMExports();
`

// nameEnvironment is the environment in which Java and Node.js find two addresses for each
// of names; nothing if there are none. forget removes what it is made of.
func nameEnvironment(names []string) (environment []string, forget func(), err error) {
	if len(names) == 0 {
		return nil, func() {}, nil
	}
	dir, err := os.MkdirTemp("", "conformance")
	if err != nil {
		return nil, nil, err
	}
	forget = func() { _ = os.RemoveAll(dir) } // in the system's folder for such things
	hosts, script := filepath.Join(dir, "hosts"), filepath.Join(dir, "names.cjs")
	// Java looks nowhere else then.
	lines := []string{"127.0.0.1 localhost"}
	if host, err := os.Hostname(); err == nil {
		lines = append(lines, "127.0.0.1 "+host)
	}
	for _, name := range names {
		lines = append(lines, "127.0.0.1 "+name, "127.0.0.2 "+name)
	}
	list, err := json.Marshal(names)
	if err == nil {
		err = errors.Join(
			os.WriteFile(hosts, []byte(strings.Join(lines, "\n")+"\n"), 0o600),
			os.WriteFile(script, []byte(strings.Replace(nodeNames, "namesHere", string(list), 1)), 0o600),
		)
	}
	if err != nil {
		forget()
		return nil, nil, fmt.Errorf("names for drivers: %w", err)
	}
	return []string{"JAVA_TOOL_OPTIONS=-Djdk.net.hosts.file=" + hosts, "NODE_OPTIONS=--require=" + script}, forget, nil
}
