#!/usr/bin/env node
'use strict';

require('../dist/program.js').runProgram('account-qwen');
