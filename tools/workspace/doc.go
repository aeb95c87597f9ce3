// Package workspace checks what the modules of this repository have to agree on.
package workspace
