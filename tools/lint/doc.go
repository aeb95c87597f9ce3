// Package lint proves that the repository's linter configuration catches the
// imports that the module layout forbids. Its test runs with `make lint`, which
// installs the linter.
package lint
