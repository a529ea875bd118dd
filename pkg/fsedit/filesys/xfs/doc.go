// Package xfs reads XFS.
package xfs
