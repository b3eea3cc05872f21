package loadgen

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// statusFailure returns the kind of failure that an answer's status stands for.
func statusFailure(code int) Failure {
	switch {
	case code >= 200 && code < 400:
		return Success
	case code >= 400 && code < 500:
		return ClientError
	case code >= 500 && code < 600:
		return ServerError
	default:
		return BadStatus
	}
}

// failureOf returns the kind of failure that err is. The order matters: a name that is not resolved in time is a DNS
// failure, a connection refused during a dial is wrapped in the same types as a timeout.
func failureOf(err error) Failure {
	var dns *net.DNSError
	var network net.Error
	switch {
	case err == nil:
		return Success
	case errors.Is(err, errTooLarge):
		return TooLarge
	case errors.Is(err, context.Canceled), errors.Is(err, errGivenUp):
		return Canceled
	case errors.As(err, &dns):
		return DNS
	case isTLS(err):
		return TLS
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &network) &&
		network.Timeout():
		return Timeout
	case errors.Is(err, syscall.ECONNREFUSED):
		return Refused
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return Reset
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENOENT),
		errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, syscall.EMFILE):
		return Unreachable
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return Closed
	case errors.Is(err, errMalformed):
		return Malformed
	case errors.Is(err, errBadTarget):
		return BadTarget
	}
	return Other
}

var errGivenUp = errors.New("given up at the end of the attack")

// isTLS reports whether err comes from a TLS handshake.
func isTLS(err error) bool {
	var (
		record    tls.RecordHeaderError
		alert     tls.AlertError
		verify    *tls.CertificateVerificationError
		authority x509.UnknownAuthorityError
		hostname  x509.HostnameError
		invalid   x509.CertificateInvalidError
	)
	return errors.As(err, &record) || errors.As(err, &alert) || errors.As(err, &verify) || errors.As(err, &authority) ||
		errors.As(err, &hostname) || errors.As(err, &invalid)
}
