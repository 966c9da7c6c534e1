// AUTH on the port of our users only; what Haraka does on 587, this does on that port.
exports.register = function () {
    this.inherits('auth/flat_file')
}

const ours = (connection) => connection.local.port === @SUBMISSION@

exports.hook_capabilities = function (next, connection) {
    if (!ours(connection)) return next()
    this.base['auth/flat_file'].hook_capabilities.call(this, next, connection)
}

exports.hook_mail = function (next, connection) {
    if (ours(connection) && !connection.relaying) return next(DENY, 'Authentication required')
    next()
}
