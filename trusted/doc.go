// Package trusted opens files on a machine that others use too, so that none of them decides what is read or where
// something is written.
//
// A path is walked from / down, each component from the open folder before it and without following links. Every folder
// and link on the way must belong to root or to the user of this process, and no folder may be writable by everyone,
// unless it is sticky, as /tmp is, or on a file system that is mounted read-only. So nobody else can exchange a
// component between the check and the use, or could have put it there. What is refused is told with the command that
// mends it.
//
// Writing goes further: the last component is never a link, and an existing file must be a plain one of this user's or
// root's with one name.
//
// The package does not judge access lists (ACLs), and it takes the group of a file for its owner's friends except where
// Private is asked for.
package trusted
