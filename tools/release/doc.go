// Package release turns a commit into a release of all modules of the workspace.
//
// On the main branch the modules find each other through `replace` lines, which
// nobody outside can use. A release is one commit beside the main branch in which
// every module requires its siblings at the release's version, with their hashes in
// go.sum, and a tag for each module in the form that Go expects
// (broker-kafka/v1.2.3). The commit is complete before anything is published:
// hashes are computed as the go command does.
package release
