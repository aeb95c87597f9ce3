// Package docs checks that what the documents say of the repository is true: the
// tests and files that they name exist, their links lead somewhere, the settings in
// the README are those of the command, and what they show of the SDK compiles.
package docs
